package store_test

import (
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"kiln/migrations"
	"kiln/store"
	"kiln/store/storetest"

	"github.com/jackc/pgx/v5"
)

var writeSchema = flag.Bool("update", false, "write migrations/schema.sql anew")

const schemaFile = "../migrations/schema.sql"

func TestSchemaDumpIsKept(t *testing.T) {
	got, err := store.Schema(ctx, storetest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	if *writeSchema {
		if err := os.WriteFile(schemaFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := migrations.Files.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	if !*writeSchema && string(want) != got {
		t.Errorf("migrations/schema.sql is out of date: go test ./store -run TestSchema -update")
	}
}

func TestMigrationsRunOnceHoweverManyStartAtOnce(t *testing.T) {
	url := storetest.EmptyDatabase(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := store.Migrate(ctx, url); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := scalar[int64](t, url, "SELECT count(*) FROM schema_migrations"); n == 0 {
		t.Error("no migration is noted")
	}
}

func TestChangedOrUnknownMigrationsAreRefused(t *testing.T) {
	for _, c := range []struct{ what, sql, want string }{
		{"changed", "UPDATE schema_migrations SET checksum = 'x' WHERE name LIKE '0001%'", "was changed after it had been applied"},
		{"newer", "INSERT INTO schema_migrations VALUES ('9999_later.sql', 'x')", "newer than this program"},
		{"renamed", "UPDATE schema_migrations SET name = '0001_other.sql' WHERE name LIKE '0001%'", "where this program has"},
	} {
		url := storetest.Database(t)
		change(t, url, c.sql)
		_, err := store.Open(ctx, storetest.Options(url))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func change(t testing.TB, url, sql string) {
	t.Helper()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestFailedMigrationLeavesNothingHalfMade(t *testing.T) {
	url := storetest.EmptyDatabase(t)
	change(t, url, "CREATE TABLE functions (n int)") // in the way of the first migration
	if err := store.Migrate(ctx, url); err == nil || !strings.Contains(err.Error(), "apply migration 0001") {
		t.Errorf("%v", err)
	}
	if scalar[bool](t, url, "SELECT to_regclass('users') IS NOT NULL") {
		t.Error("half of a migration is there")
	}
}
