package store

import (
	"strconv"
	"time"

	"kiln/lambda"

	"gorm.io/gorm"
)

type versionRow struct {
	FunctionID         int64     `gorm:"primaryKey;autoIncrement:false"`
	Number             int64     `gorm:"primaryKey;autoIncrement:false"`
	Config             configRow `gorm:"embedded"`
	Digest             string
	VersionDescription string
	RevisionID         string `gorm:"column:revision_id"`
	ByName             string
	At                 time.Time
}

func (versionRow) TableName() string { return "versions" }

func (s *Store) version(f *functionRow, r *versionRow) (*lambda.Version, error) {
	c, err := s.config(f.ID, &r.Config)
	if err != nil {
		return nil, err
	}
	return &lambda.Version{Function: f.Name, Number: r.Number, Config: c, Code: r.Config.code(), Description: r.VersionDescription,
		RevisionID: r.RevisionID, By: r.ByName, At: r.At}, nil
}

func findVersion(db *gorm.DB, f *functionRow, number int64) (*versionRow, error) {
	var v versionRow
	err := db.Where("function_id = ? AND number = ?", f.ID, number).Take(&v).Error
	if isMissing(err) {
		return nil, lambda.E(lambda.NotFound, "version.missing", "name", f.Name, "version", strconv.FormatInt(number, 10))
	}
	return &v, err
}

type aliasRow struct {
	FunctionID  int64  `gorm:"primaryKey;autoIncrement:false"`
	Name        string `gorm:"primaryKey"`
	Version     string
	Weights     jsonColumn[map[string]float64]
	Description string
	RevisionID  string    `gorm:"column:revision_id"`
	UpdatedAt   time.Time `gorm:"autoUpdateTime:false"`
}

func (aliasRow) TableName() string { return "aliases" }

func (r *aliasRow) domain(function string) *lambda.Alias {
	return &lambda.Alias{Function: function, Name: r.Name, Version: r.Version, Weights: r.Weights.v, Description: r.Description,
		RevisionID: r.RevisionID, UpdatedAt: r.UpdatedAt}
}

func findAlias(db *gorm.DB, f *functionRow, name string) (*aliasRow, error) {
	var a aliasRow
	err := db.Where("function_id = ? AND name = ?", f.ID, clean(name)).Take(&a).Error
	if isMissing(err) {
		return nil, lambda.E(lambda.NotFound, "alias.missing", "name", f.Name, "alias", name)
	}
	return &a, err
}

type asyncRow struct {
	FunctionID int64  `gorm:"primaryKey;autoIncrement:false"`
	Qualifier  string `gorm:"primaryKey"`
	MaxRetries *int
	MaxAgeSec  *int
	OnSuccess  string
	OnFailure  string
	UpdatedAt  time.Time `gorm:"autoUpdateTime:false"`
}

func (asyncRow) TableName() string { return "event_invoke_configs" }

func (r *asyncRow) domain(function string) lambda.EventInvokeConfig {
	return lambda.EventInvokeConfig{Function: function, Qualifier: r.Qualifier, MaxRetries: r.MaxRetries, MaxAgeSec: r.MaxAgeSec,
		OnSuccess: r.OnSuccess, OnFailure: r.OnFailure, UpdatedAt: r.UpdatedAt}
}

// asyncConfig is the zero configuration, which means the defaults, when none was set for the qualifier.
func asyncConfig(db *gorm.DB, f *functionRow, qualifier string) (lambda.EventInvokeConfig, error) {
	var r asyncRow
	err := db.Where("function_id = ? AND qualifier = ?", f.ID, clean(qualifier)).Take(&r).Error
	if isMissing(err) {
		return lambda.EventInvokeConfig{Function: f.Name, Qualifier: qualifier}, nil
	}
	return r.domain(f.Name), err
}
