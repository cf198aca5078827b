package messages

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Int groups digits by thousands; both languages use commas.
func (l Locale) Int(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Decimal has a fixed number of decimals.
func (l Locale) Decimal(f float64, decimals int) string {
	s := strconv.FormatFloat(math.Abs(f), 'f', decimals, 64)
	whole, rest, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return s
	}
	out := l.Int(n)
	if rest != "" {
		out += "." + rest
	}
	if f < 0 {
		out = "−" + out
	}
	return out
}

// Percent is a share 0 … 1 in per cent without the sign, with as many decimals as help: 0, 0.08, 4.8, 15.4, 100.
func (l Locale) Percent(share float64) string {
	p := share * 100
	switch {
	case p == 0:
		return "0"
	case p >= 99.95:
		return l.Decimal(p, 0)
	case p < 1:
		return l.Decimal(p, 2)
	default:
		return l.Decimal(p, 1)
	}
}

// Bytes is a size in binary units: 512 B, 3.1 KB, 1.4 MB.
func (l Locale) Bytes(n int64) string {
	if n < 1024 {
		return l.Int(n) + " B"
	}
	f, units := float64(n)/1024, "KMGTP"
	i := 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	decimals := 1
	if f >= 100 {
		decimals = 0
	}
	return l.Decimal(f, decimals) + " " + units[i:i+1] + "B"
}

// Millis is a duration in milliseconds without the unit: 0.4, 3, 18, 1,240.
func (l Locale) Millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms > 0 && ms < 1 {
		return l.Decimal(ms, 1)
	}
	return l.Decimal(math.Round(ms), 0)
}

// Dollars is an amount in US dollars with enough decimals to tell small ones from nothing.
func (l Locale) Dollars(f float64) string {
	switch {
	case f == 0:
		return "$0"
	case f < 0.0005:
		return "<$0.001"
	case f < 1:
		return "$" + l.Decimal(f, 3)
	default:
		return "$" + l.Decimal(f, 2)
	}
}

// Clock is hours, minutes and seconds.
func (l Locale) Clock(t time.Time) string { return t.Format("15:04:05") }

// Minute is hours and minutes.
func (l Locale) Minute(t time.Time) string { return t.Format("15:04") }

var months = [...]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}

// Day is the day without the year when it is now's, else with it.
func (l Locale) Day(t, now time.Time) string {
	d := fmt.Sprintf("%d %s", t.Day(), months[t.Month()-1])
	if l == Korean {
		d = fmt.Sprintf("%d월 %d일", t.Month(), t.Day())
	}
	if t.Year() == now.Year() {
		return d
	}
	if l == Korean {
		return fmt.Sprintf("%d년 %s", t.Year(), d)
	}
	return fmt.Sprintf("%s %d", d, t.Year())
}

// When is the time of day for today and the day for every other one, for lists.
func (l Locale) When(t, now time.Time) string {
	if sameDay(t, now) {
		return l.Minute(t)
	}
	return l.Day(t, now)
}

// Full is day and time to the second, for titles and details.
func (l Locale) Full(t time.Time) string {
	return l.Day(t, time.Time{}) + " " + l.Clock(t)
}

// Span is a length of time in its largest sensible unit: 12 s, 4 min, 3 h, 2 d.
func (l Locale) Span(d time.Duration) string {
	unit, n := "s", int64(d/time.Second)
	switch {
	case d >= 48*time.Hour:
		unit, n = "d", int64(d/(24*time.Hour))
	case d >= 2*time.Hour:
		unit, n = "h", int64(d/time.Hour)
	case d >= 2*time.Minute:
		unit, n = "min", int64(d/time.Minute)
	}
	return l.T("unit."+unit, "n", n)
}

func sameDay(a, b time.Time) bool {
	ay, am, ad := a.Date()
	by, bm, bd := b.Date()
	return ay == by && am == bm && ad == bd
}
