package web

import (
	"context"
	"strconv"
	"strings"

	"kiln/lambda"
)

// Layers is the page on which a function's layers are chosen.
type Layers struct {
	ConfigurePart
	Revision int64
	Chosen   []string // ARNs, lowest first
	Choices  []LayerChoice
	Known    []lambda.LayerVersion // each layer with its newest version
}

// LayerChoice is a published layer version.
type LayerChoice struct{ ARN, Label string }

// slots are the fields: those that are chosen, then empty ones up to the limit.
func (l Layers) slots() []string {
	out := append([]string{}, l.Chosen...)
	for len(out) < lambda.MaxLayers {
		out = append(out, "")
	}
	return out
}

func (l Layers) slot(ctx context.Context, i int, arn string) Field {
	f := l.field("layer", T(ctx, "layers.nth", "n", i+1), arn)
	f.ID = "f-layer" + strconv.Itoa(i+1)
	return f
}

func allOr(ctx context.Context, all []string) string {
	if len(all) == 0 {
		return T(ctx, "layers.any")
	}
	return strings.Join(all, ", ")
}
