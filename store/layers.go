package store

import (
	"context"
	"strconv"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
)

func (r *layerVersionRow) domain() lambda.LayerVersion {
	return lambda.LayerVersion{Layer: r.Layer, Number: r.Number, Description: r.Description, License: r.License, Runtimes: r.Runtimes,
		Architectures: r.Architectures, Code: lambda.Code{SHA256: r.CodeSHA256, Size: r.CodeSize}, At: r.At}
}

// PublishLayer makes the next version of a layer, and the layer with the first one. Its package is kept already; NotFound "code.missing".
// A number is never used twice.
func (s *Store) PublishLayer(ctx context.Context, by iam.Principal, l lambda.LayerVersion) (*lambda.LayerVersion, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	var made lambda.LayerVersion
	err := s.edit(ctx, "publish a layer", func(tx *gorm.DB) error {
		code, err := keptCode(tx, l.Code.SHA256)
		if err != nil {
			return err
		}
		var number int64
		err = tx.Raw(`INSERT INTO layers (name, last_number) VALUES (?, 1)
			ON CONFLICT (name) DO UPDATE SET last_number = layers.last_number + 1 RETURNING last_number`, l.Layer).Scan(&number).Error
		if err != nil {
			return err
		}
		row := layerVersionRow{Layer: l.Layer, Number: number, Description: clean(l.Description), License: clean(l.License), Runtimes: l.Runtimes,
			Architectures: l.Architectures, CodeSHA256: code.SHA256, CodeSize: code.Size, At: micro(time.Now())}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		made = row.domain()
		return note(tx, by, "lambda:PublishLayerVersion", s.arns.LayerVersion(l.Layer, strconv.FormatInt(number, 10)), nil)
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// LayerVersion is NotFound "layer.missing" when there is none.
func (s *Store) LayerVersion(ctx context.Context, layer string, number int64) (*lambda.LayerVersion, error) {
	var row layerVersionRow
	err := s.read(ctx, "read a layer", func(db *gorm.DB) error {
		err := db.Where("layer = ? AND number = ?", clean(layer), number).Take(&row).Error
		if isMissing(err) {
			return lambda.E(lambda.NotFound, "layer.missing", "arn", s.arns.LayerVersion(layer, strconv.FormatInt(number, 10)))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l := row.domain()
	return &l, nil
}

// LayerFilter chooses and pages layers by name, or one layer's versions by number.
type LayerFilter = lambda.LayerFilter

func layersWhere(f *LayerFilter, q *gorm.DB) *gorm.DB {
	if f.Runtime != "" {
		q = q.Where("jsonb_exists(runtimes, ?)", clean(f.Runtime))
	}
	if f.Architecture != "" {
		q = q.Where("(architectures = '[]' OR jsonb_exists(architectures, ?))", clean(f.Architecture))
	}
	return q.Limit(bound(f.Limit, 50, 1000))
}

// Layers is one page in name order, each layer with its newest version that fits.
func (s *Store) Layers(ctx context.Context, f LayerFilter) ([]lambda.LayerVersion, error) {
	var rows []layerVersionRow
	err := s.read(ctx, "list layers", func(db *gorm.DB) error {
		return layersWhere(&f, db.Select("DISTINCT ON (layer) *")).Where("layer > ?", clean(f.After)).Order("layer, number DESC").Find(&rows).Error
	})
	return mapTo(rows, (*layerVersionRow).domain), err
}

// LayerVersions is one page of a layer's versions, newest first; empty when there is no such layer.
func (s *Store) LayerVersions(ctx context.Context, layer string, f LayerFilter) ([]lambda.LayerVersion, error) {
	var rows []layerVersionRow
	err := s.read(ctx, "list layer versions", func(db *gorm.DB) error {
		q := layersWhere(&f, db).Where("layer = ?", clean(layer))
		if f.Before > 0 {
			q = q.Where("number < ?", f.Before)
		}
		return q.Order("number DESC").Find(&rows).Error
	})
	return mapTo(rows, (*layerVersionRow).domain), err
}

// DeleteLayerVersion removes one; no error when there is none. Functions that use it keep it.
func (s *Store) DeleteLayerVersion(ctx context.Context, by iam.Principal, layer string, number int64) error {
	return s.edit(ctx, "delete a layer version", func(tx *gorm.DB) error {
		label := strconv.FormatInt(number, 10)
		gone := tx.Where("layer = ? AND number = ?", clean(layer), number).Delete(&layerVersionRow{})
		if gone.Error != nil || gone.RowsAffected == 0 {
			return gone.Error
		}
		if err := tx.Exec("DELETE FROM policies WHERE layer = ? AND qualifier = ?", clean(layer), label).Error; err != nil {
			return err
		}
		return note(tx, by, "lambda:DeleteLayerVersion", s.arns.LayerVersion(layer, label), nil)
	})
}
