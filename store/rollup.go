package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
)

// rollupLock makes reading, merging and writing roll-ups one step.
const rollupLock = 0x6b696c75

type pointKey struct {
	function int64
	at       time.Time
}

// addPoints merges points into both roll-ups.
func addPoints(ctx context.Context, tx pgx.Tx, points []lambda.MetricPoint) error {
	if len(points) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", rollupLock); err != nil {
		return err
	}
	for _, r := range []struct {
		table string
		step  time.Duration
	}{{"metric_minute", time.Minute}, {"metric_hour", time.Hour}} {
		if err := addToRollup(ctx, tx, r.table, gathered(points, r.step)); err != nil {
			return err
		}
	}
	return nil
}

// gathered sums points per function and period.
func gathered(points []lambda.MetricPoint, step time.Duration) map[pointKey]*lambda.MetricPoint {
	sums := map[pointKey]*lambda.MetricPoint{}
	for i := range points {
		p := &points[i]
		k := pointKey{p.FunctionID, p.At.UTC().Truncate(step)}
		if sums[k] == nil {
			sums[k] = &lambda.MetricPoint{FunctionID: k.function, At: k.at}
		}
		sums[k].Add(p)
	}
	return sums
}

const pointColumns = `function_id, at, n, errors, throttles, cold, sum_us, min_us, max_us, init_sum_us, init_max_us, billed_ms, gb_ms,
	max_memory_mb, memory_mb, max_running, retries, dead_letters, hist`

func scanPoint(r pgx.CollectableRow) (p lambda.MetricPoint, err error) {
	var hist []byte
	err = r.Scan(&p.FunctionID, &p.At, &p.N, &p.Errors, &p.Throttles, &p.Cold, &p.SumUS, &p.MinUS, &p.MaxUS, &p.InitSumUS, &p.InitMaxUS, &p.BilledMS,
		&p.GBMS, &p.MaxMemoryMB, &p.MemoryMB, &p.MaxRunning, &p.Retries, &p.DeadLetters, &hist)
	if err == nil {
		p.Hist, err = unpackHist(hist)
	}
	return p, err
}

func addToRollup(ctx context.Context, tx pgx.Tx, table string, sums map[pointKey]*lambda.MetricPoint) error {
	var functions []int64
	var times []time.Time
	for k := range sums {
		functions, times = append(functions, k.function), append(times, k.at)
	}
	rows, err := tx.Query(ctx, "SELECT "+pointColumns+" FROM "+table+" JOIN unnest($1::bigint[], $2::timestamptz[]) AS k(f, a) ON function_id = f AND at = a", functions, times)
	if err != nil {
		return err
	}
	kept, err := pgx.CollectRows(rows, scanPoint)
	if err != nil {
		return err
	}
	for i := range kept {
		p := kept[i]
		k := pointKey{p.FunctionID, p.At.UTC()}
		p.Add(sums[k]) // the kept one is older: the newer limit wins
		sums[k] = &p
	}
	return writeRollup(ctx, tx, table, sums)
}

const upsertPoints = ` SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
	$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::int[], $15::int[], $16::int[], $17::bigint[],
	$18::bigint[], $19::bytea[])
ON CONFLICT (function_id, at) DO UPDATE SET n = excluded.n, errors = excluded.errors, throttles = excluded.throttles, cold = excluded.cold,
	sum_us = excluded.sum_us, min_us = excluded.min_us, max_us = excluded.max_us, init_sum_us = excluded.init_sum_us,
	init_max_us = excluded.init_max_us, billed_ms = excluded.billed_ms, gb_ms = excluded.gb_ms, max_memory_mb = excluded.max_memory_mb,
	memory_mb = excluded.memory_mb, max_running = excluded.max_running, retries = excluded.retries, dead_letters = excluded.dead_letters,
	hist = excluded.hist`

func writeRollup(ctx context.Context, tx pgx.Tx, table string, sums map[pointKey]*lambda.MetricPoint) error {
	points := make([]*lambda.MetricPoint, 0, len(sums))
	for _, p := range sums {
		points = append(points, p)
	}
	slices.SortFunc(points, func(a, b *lambda.MetricPoint) int {
		return cmp.Or(cmp.Compare(a.FunctionID, b.FunctionID), a.At.Compare(b.At))
	})
	n := len(points)
	at, hists := make([]time.Time, n), make([][]byte, n)
	longs, ints := make([][]int64, 14), make([][]int32, 3)
	for i, p := range points {
		at[i], hists[i] = p.At, packHist(p.Hist)
		for c, v := range [...]int64{p.FunctionID, p.N, p.Errors, p.Throttles, p.Cold, p.SumUS, p.MinUS, p.MaxUS, p.InitSumUS, p.InitMaxUS, p.BilledMS, p.GBMS, p.Retries, p.DeadLetters} {
			longs[c] = append(longs[c], v)
		}
		for c, v := range [...]int{p.MaxMemoryMB, p.MemoryMB, p.MaxRunning} {
			ints[c] = append(ints[c], small(v))
		}
	}
	_, err := tx.Exec(ctx, "INSERT INTO "+table+" ("+pointColumns+")"+upsertPoints, longs[0], at, longs[1], longs[2], longs[3], longs[4], longs[5],
		longs[6], longs[7], longs[8], longs[9], longs[10], longs[11], ints[0], ints[1], ints[2], longs[12], longs[13], hists)
	return err
}

// packHist keeps a histogram as pairs of varints: buckets skipped since the last one, count. Most of its buckets are empty.
func packHist(h []uint32) []byte {
	var b []byte
	last := -1
	for i, n := range h {
		if n > 0 {
			b = binary.AppendUvarint(b, uint64(i-last-1))
			b = binary.AppendUvarint(b, uint64(n))
			last = i
		}
	}
	return b
}

func unpackHist(b []byte) ([]uint32, error) {
	if len(b) == 0 {
		return nil, nil
	}
	h := make([]uint32, lambda.HistogramBuckets)
	for i := -1; len(b) > 0; {
		skip, n := binary.Uvarint(b)
		if n <= 0 || skip >= lambda.HistogramBuckets {
			return nil, fmt.Errorf("a histogram is damaged")
		}
		count, m := binary.Uvarint(b[n:])
		if i += int(skip) + 1; m <= 0 || i >= len(h) {
			return nil, fmt.Errorf("a histogram is damaged")
		}
		h[i] = uint32(count)
		b = b[n+m:]
	}
	return h, nil
}

// Metrics is a series with one point per step (empty periods left out), oldest first. Steps begin at multiples of the step in UTC.
// Whole hours come from the hour roll-ups, anything finer from the minutes.
func (s *Store) Metrics(ctx context.Context, q lambda.MetricQuery) ([]lambda.MetricPoint, error) {
	step := max(q.Step, time.Minute)
	table := "metric_minute"
	if step%time.Hour == 0 {
		table = "metric_hour"
	}
	var rows []lambda.MetricPoint
	err := s.search(ctx, "read metrics", func(ctx context.Context, c *pgx.Conn) error {
		got, err := c.Query(ctx, "SELECT "+pointColumns+" FROM "+table+" WHERE function_id = $1 AND at >= $2 AND at < $3 ORDER BY at",
			q.FunctionID, q.From.UTC().Truncate(step), q.To)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(got, scanPoint)
		return err
	})
	if err != nil {
		return nil, err
	}
	var series []lambda.MetricPoint
	for i := range rows {
		at := rows[i].At.UTC().Truncate(step)
		if len(series) == 0 || !series[len(series)-1].At.Equal(at) {
			series = append(series, lambda.MetricPoint{FunctionID: q.FunctionID, At: at})
		}
		series[len(series)-1].Add(&rows[i])
	}
	return series, nil
}

// MetricsByFunction sums [from, to) per function, for the list and Home; key 0 is the whole account. Whole hours within the window come from
// the hour roll-ups, its edges from the minutes.
func (s *Store) MetricsByFunction(ctx context.Context, from, to time.Time) (map[int64]lambda.MetricPoint, error) {
	first, last := from.UTC().Truncate(time.Hour), to.UTC().Truncate(time.Hour)
	if first.Before(from) {
		first = first.Add(time.Hour)
	}
	if last.Before(first) { // no whole hour in it
		first, last = to, to
	}
	sums := map[int64]lambda.MetricPoint{}
	err := s.search(ctx, "sum metrics", func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT "+pointColumns+" FROM metric_hour WHERE at >= $2 AND at < $3 UNION ALL SELECT "+pointColumns+
			" FROM metric_minute WHERE at >= $1 AND at < $4 AND NOT (at >= $2 AND at < $3)", from.UTC().Truncate(time.Minute), first, last, to)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			p, err := scanPoint(rows)
			if err != nil {
				return err
			}
			sum, known := sums[p.FunctionID]
			if !known {
				sum = lambda.MetricPoint{FunctionID: p.FunctionID, At: from}
			}
			sum.Add(&p)
			sums[p.FunctionID] = sum
		}
		return rows.Err()
	})
	return sums, err
}
