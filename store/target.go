package store

import (
	"context"
	"strconv"
	"time"

	"kiln/lambda"

	"gorm.io/gorm"
)

// Target resolves a name and qualifier ("" is $LATEST). NotFound "function.missing", "version.missing", "alias.missing".
func (s *Store) Target(ctx context.Context, name, qualifier string) (*lambda.Target, error) {
	var t *lambda.Target
	err := s.read(ctx, "resolve a function", func(db *gorm.DB) error {
		f, err := findFunction(db, name)
		if err != nil {
			return err
		}
		if qualifier == "" {
			qualifier = lambda.Latest
		}
		if t, err = s.target(db, f, qualifier); err != nil {
			return err
		}
		t.Async, err = asyncConfig(db, f, qualifier)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (s *Store) target(db *gorm.DB, f *functionRow, qualifier string) (*lambda.Target, error) {
	if _, err := strconv.ParseInt(qualifier, 10, 64); err == nil || qualifier == lambda.Latest {
		r, err := s.runnableVersion(db, f, qualifier)
		return &lambda.Target{Runnable: r}, err
	}
	a, err := findAlias(db, f, qualifier)
	if err != nil {
		return nil, err
	}
	t := &lambda.Target{Alias: a.Name}
	if t.Runnable, err = s.runnableVersion(db, f, a.Version); err != nil {
		return nil, err
	}
	for second, share := range a.Weights.v {
		t.Share = share
		if t.Second, err = s.runnableVersion(db, f, second); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// runnableVersion is $LATEST or a numbered version.
func (s *Store) runnableVersion(db *gorm.DB, f *functionRow, version string) (*lambda.Runnable, error) {
	if version == lambda.Latest {
		return s.runnable(lambda.Digest(f.Digest), lambda.Latest, f, &f.Config)
	}
	number, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return nil, lambda.E(lambda.NotFound, "version.missing", "name", f.Name, "version", version)
	}
	v, err := findVersion(db, f, number)
	if err != nil {
		return nil, err
	}
	return s.runnable(lambda.Digest(v.Digest), version, f, &v.Config)
}

// Runnable is what a digest names. NotFound "digest.missing".
func (s *Store) Runnable(ctx context.Context, d lambda.Digest) (*lambda.Runnable, error) {
	var r *lambda.Runnable
	err := s.read(ctx, "read what a digest names", func(db *gorm.DB) error {
		var row runnableRow
		err := db.Where("digest = ?", clean(string(d))).Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.NotFound, "digest.missing")
		}
		if err != nil {
			return err
		}
		var f functionRow
		if err := db.Where("id = ?", row.FunctionID).Take(&f).Error; err != nil {
			return err
		}
		r, err = s.runnable(d, row.Version, &f, &row.Config)
		return err
	})
	return r, err
}

// Reachable are the digests of one function that $LATEST, a version, an alias, a queued event or a draft run of the last 10 minutes reach.
// It is empty when there is no such function.
func (s *Store) Reachable(ctx context.Context, function string) (map[lambda.Digest]bool, error) {
	var all []string
	err := s.read(ctx, "list what a function reaches", func(db *gorm.DB) error {
		return db.Raw(`WITH f AS (SELECT id, digest FROM functions WHERE name = ?)
			SELECT digest FROM f
			UNION SELECT v.digest FROM versions v JOIN f ON v.function_id = f.id
			UNION SELECT p.digest FROM draft_pins p JOIN f ON p.function_id = f.id WHERE p.pinned_at > now() - ?::interval
			UNION SELECT q.digest FROM event_queue q JOIN f ON q.function_id = f.id WHERE q.digest <> ''`, clean(function), interval(draftRunnable)).
			Scan(&all).Error
	})
	reach := make(map[lambda.Digest]bool, len(all))
	for _, d := range all {
		reach[lambda.Digest(d)] = true
	}
	return reach, err
}

// sweepRunnables removes what nothing reaches any more, with an hour of grace for what is being resolved.
func sweepRunnables(tx *gorm.DB, now time.Time) error {
	if err := tx.Exec("DELETE FROM draft_pins WHERE pinned_at < ?", now.Add(-time.Hour)).Error; err != nil {
		return err
	}
	return tx.Exec(`DELETE FROM runnables r WHERE made_at < ?
		AND NOT EXISTS (SELECT FROM functions f WHERE f.id = r.function_id AND f.digest = r.digest)
		AND NOT EXISTS (SELECT FROM versions v WHERE v.function_id = r.function_id AND v.digest = r.digest)
		AND NOT EXISTS (SELECT FROM draft_pins p WHERE p.function_id = r.function_id AND p.digest = r.digest)
		AND NOT EXISTS (SELECT FROM event_queue q WHERE q.function_id = r.function_id AND q.digest = r.digest)`, now.Add(-time.Hour)).Error
}
