package storage

import "github.com/pressly/goose/v3"

// GoMigrations are the migrations that are not files of SQL.
func GoMigrations() []*goose.Migration {
	var m Migrator
	return m.goMigrations()
}
