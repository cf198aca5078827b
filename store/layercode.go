package store

import (
	"strconv"
	"strings"
	"time"

	"kiln/lambda"

	"gorm.io/gorm"
)

type layerVersionRow struct {
	Layer         string `gorm:"primaryKey"`
	Number        int64  `gorm:"primaryKey;autoIncrement:false"`
	Description   string
	License       string
	Runtimes      textList
	Architectures textList
	CodeSHA256    string `gorm:"column:code_sha256"`
	CodeSize      int64
	At            time.Time
}

func (layerVersionRow) TableName() string { return "layer_versions" }

// layerCode finds the packages of layer versions by ARN. Invalid "layer.missing", "layer.region", "layer.twice".
func (s *Store) layerCode(db *gorm.DB, arns []string) ([]lambda.Code, error) {
	var all []lambda.Code
	seen := map[string]string{}
	for _, arn := range arns {
		name, number, err := s.parseLayer(arn)
		if err != nil {
			return nil, err
		}
		if other, twice := seen[name]; twice {
			return nil, lambda.E(lambda.Invalid, "layer.twice", "a", other, "b", arn)
		}
		seen[name] = arn
		var v layerVersionRow
		err = db.Where("layer = ? AND number = ?", name, number).Take(&v).Error
		if isMissing(err) {
			return nil, lambda.E(lambda.Invalid, "layer.missing", "arn", arn)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, lambda.Code{SHA256: v.CodeSHA256, Size: v.CodeSize})
	}
	return all, nil
}

// parseLayer reads arn:aws:lambda:<region>:<account>:layer:<name>:<number>.
func (s *Store) parseLayer(arn string) (name string, number int64, err error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 8 {
		return "", 0, lambda.E(lambda.Invalid, "layer.missing", "arn", arn)
	}
	if parts[3] != s.arns.Region {
		return "", 0, lambda.E(lambda.Invalid, "layer.region", "region", s.arns.Region)
	}
	number, err = strconv.ParseInt(parts[7], 10, 64)
	if err != nil || parts[4] != s.arns.AccountID {
		return "", 0, lambda.E(lambda.Invalid, "layer.missing", "arn", arn)
	}
	return parts[6], number, nil
}
