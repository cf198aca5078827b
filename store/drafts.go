package store

import (
	"context"
	"fmt"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const (
	maxDraftFiles = 2_000
	maxDraftBytes = 32 << 20
	// draftRunnable is how long a pinned draft run stays runnable.
	draftRunnable = 10 * time.Minute
)

type draftRow struct {
	UserID     int64 `gorm:"primaryKey;autoIncrement:false"`
	FunctionID int64 `gorm:"primaryKey;autoIncrement:false"`
	Base       int64
	Seq        int64
	SavedAt    time.Time
}

func (draftRow) TableName() string { return "drafts" }

type draftFileRow struct {
	UserID     int64  `gorm:"primaryKey;autoIncrement:false"`
	FunctionID int64  `gorm:"primaryKey;autoIncrement:false"`
	Path       string `gorm:"primaryKey"`
	Data       []byte
	Deleted    bool
}

func (draftFileRow) TableName() string { return "draft_files" }

func (r *draftFileRow) domain() lambda.DraftFile {
	return lambda.DraftFile{Path: r.Path, Data: r.Data, Deleted: r.Deleted}
}

// Draft is the user's draft; NotFound "draft.missing" when there is none.
func (s *Store) Draft(ctx context.Context, user int64, function string) (*lambda.DraftState, error) {
	var d lambda.DraftState
	err := s.read(ctx, "read a draft", func(db *gorm.DB) error {
		id, err := functionID(db, function)
		if err != nil {
			return err
		}
		var row draftRow
		err = db.Where("user_id = ? AND function_id = ?", user, id).Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.NotFound, "draft.missing", "name", function)
		}
		if err != nil {
			return err
		}
		var files []draftFileRow
		if err := db.Where("user_id = ? AND function_id = ?", user, id).Order("path").Find(&files).Error; err != nil {
			return err
		}
		var u userRow
		if err := findUser(db, user, &u); err != nil {
			return err
		}
		d = row.domain(function, u.Name)
		d.Files = mapTo(files, (*draftFileRow).domain)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &d, nil
}

func (r *draftRow) domain(function, user string) lambda.DraftState {
	return lambda.DraftState{Function: function, User: user, Base: r.Base, Seq: r.Seq, SavedAt: r.SavedAt}
}

// SaveDraft writes the changed files of a draft: Deleted removes a file of the package, nil Data without Deleted takes a change back.
// seq is the draft's Seq that the client knows, 0 for a new draft; Conflict "draft.changed" when another tab saved in between;
// TooLarge "draft.size". It answers the new state without file contents.
func (s *Store) SaveDraft(ctx context.Context, by iam.Principal, function string, base, seq int64, changed []lambda.DraftFile) (*lambda.DraftState, error) {
	var d lambda.DraftState
	err := s.edit(ctx, "save a draft", func(tx *gorm.DB) error {
		id, err := functionID(tx, function)
		if err != nil {
			return err
		}
		row := draftRow{UserID: by.UserID, FunctionID: id, Base: base, Seq: seq + 1, SavedAt: micro(time.Now())}
		if err := row.advance(tx, function); err != nil {
			return err
		}
		if err := row.write(tx, changed); err != nil {
			return err
		}
		d = row.domain(function, by.Name)
		return row.checkSize(tx)
	})
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// advance takes the draft's row from seq to seq+1, or makes it.
func (r *draftRow) advance(tx *gorm.DB, function string) error {
	var done *gorm.DB
	if r.Seq == 1 {
		done = tx.Clauses(clause.OnConflict{DoNothing: true}).Create(r)
	} else {
		done = tx.Model(r).Where("user_id = ? AND function_id = ? AND seq = ?", r.UserID, r.FunctionID, r.Seq-1).
			Updates(map[string]any{"base": r.Base, "seq": r.Seq, "saved_at": r.SavedAt})
	}
	if done.Error == nil && done.RowsAffected == 0 {
		return lambda.E(lambda.Conflict, "draft.changed", "name", function)
	}
	return done.Error
}

func (r *draftRow) write(tx *gorm.DB, changed []lambda.DraftFile) error {
	for _, f := range changed {
		file := draftFileRow{UserID: r.UserID, FunctionID: r.FunctionID, Path: clean(f.Path), Data: f.Data, Deleted: f.Deleted}
		if f.Deleted {
			file.Data = []byte{}
		}
		var err error
		if f.Data == nil && !f.Deleted {
			err = tx.Where("user_id = ? AND function_id = ? AND path = ?", r.UserID, r.FunctionID, file.Path).Delete(&draftFileRow{}).Error
		} else {
			err = tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "user_id"}, {Name: "function_id"}, {Name: "path"}},
				DoUpdates: clause.AssignmentColumns([]string{"data", "deleted"})}).Create(&file).Error
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *draftRow) checkSize(tx *gorm.DB) error {
	var total struct{ Files, Bytes int64 }
	err := tx.Raw("SELECT count(*) AS files, coalesce(sum(length(data)), 0) AS bytes FROM draft_files WHERE user_id = ? AND function_id = ?",
		r.UserID, r.FunctionID).Scan(&total).Error
	if err == nil && (total.Files > maxDraftFiles || total.Bytes > maxDraftBytes) {
		return lambda.E(lambda.TooLarge, "draft.size", "files", fmt.Sprint(maxDraftFiles), "bytes", fmt.Sprint(maxDraftBytes))
	}
	return err
}

// DiscardDraft removes it; no error when there is none.
func (s *Store) DiscardDraft(ctx context.Context, user int64, function string) error {
	return s.read(ctx, "discard a draft", func(db *gorm.DB) error {
		return db.Exec("DELETE FROM drafts WHERE user_id = ? AND function_id = (SELECT id FROM functions WHERE name = ?)", user, clean(function)).Error
	})
}

// PinDraft names the revision digest of a draft run: code built from the draft with the deployed configuration. At most one per user and function
// is kept; it stays runnable for 10 minutes.
func (s *Store) PinDraft(ctx context.Context, by iam.Principal, function string, c lambda.Code) (lambda.Digest, error) {
	var d lambda.Digest
	err := s.edit(ctx, "pin a draft", func(tx *gorm.DB) error {
		f, err := findFunction(tx, function)
		if err != nil {
			return err
		}
		code, err := keptCode(tx, c.SHA256)
		if err != nil {
			return err
		}
		deployed, err := s.config(f.ID, &f.Config)
		if err != nil {
			return err
		}
		d = s.digest(f.ID, lambda.Draft, deployed, code, f.Config.LayerCode.v)
		config := f.Config
		config.CodeSHA256, config.CodeSize = code.SHA256, code.Size
		if err := keepRunnable(tx, f.ID, d, lambda.Draft, config); err != nil {
			return err
		}
		return tx.Exec(`INSERT INTO draft_pins (user_id, function_id, digest, pinned_at) VALUES (?, ?, ?, now())
			ON CONFLICT (user_id, function_id) DO UPDATE SET digest = excluded.digest, pinned_at = excluded.pinned_at`, by.UserID, f.ID, string(d)).Error
	})
	return d, err
}
