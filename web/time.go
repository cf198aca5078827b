package web

import (
	"context"
	"time"
)

// Time is a moment as a page shows it.
type Time struct{ ISO, Short, Full string }

// At makes the short form that lists use: the time of day for today, else the day.
func At(ctx context.Context, t time.Time) Time {
	v := Of(ctx)
	return Time{ISO: t.UTC().Format(time.RFC3339), Short: v.When(t), Full: v.Locale.Full(v.Local(t))}
}

// AtFull shows day and time to the second.
func AtFull(ctx context.Context, t time.Time) Time {
	m := At(ctx, t)
	m.Short = m.Full
	return m
}

// AtMinute shows hours and minutes whatever the day is.
func AtMinute(ctx context.Context, t time.Time) Time {
	m, v := At(ctx, t), Of(ctx)
	m.Short = v.Locale.Minute(v.Local(t))
	return m
}
