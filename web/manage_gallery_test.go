package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"kiln/lambda"
)

var galleryTime = time.Date(2026, 11, 20, 14, 18, 2, 0, time.UTC)

// manageGallery are the manage pages with the mock's incident; hostile texts stand in for what people and functions write.
func manageGallery() []page {
	const hostile = `<script>alert("x")</script>`
	figures := Figures{N: 41208, Errors: 24, Cold: 160, P95: 18 * time.Millisecond, Cost: 0.071}
	change := Change{Function: "orders-api", Number: 13, Cause: "deploy", By: "Kim Minseo", At: galleryTime}
	changes := []ConfigChange{{Field: "memory", Label: "Memory", Before: "128 MB", After: "256 MB", Theirs: "512 MB", IsConflict: true}, {Field: "environment A", Label: "A", After: hostile}}
	spark := Spark{Values: []float64{1, 2, 3, 2}, Errors: []bool{false, true, false, false}}
	head := FunctionHead{Name: "orders-api", Runtime: "nodejs22.x", Tab: "configure", Vitals: &Vitals{PerMinute: 228, ErrorShare: 0.0008, P95: 18 * time.Millisecond}}
	view := func(c templ.Component) func(context.Context) templ.Component {
		return func(context.Context) templ.Component { return c }
	}
	attention := []Attention{{State: StateFailing, Function: "invoice-pdf", Text: hostile, Sub: "sub", Act: "Open", Href: "/x"},
		{State: StateThrottled, Function: "csv-import", Text: "t", Act: "Replay 3", Post: "/functions/csv-import/redrive"}, {State: StateNoRuntime, Text: "machine", Act: "go", Href: "/y"}}
	return []page{
		{"home", view(HomePage(Home{Day: figures, Before: Figures{N: 40000}, Series: DaySeries{N: []float64{1, 2, 3}}, Running: 7, Workers: 40, Functions: 11,
			Attention: attention, Recent: []RecentFunction{{Name: "orders-api", Hour: spark, Figures: figures, Change: change}}, Changes: []Change{change, {Cause: "rollback", From: 11}}, Machine: Machine{MemoryMB: 2100, MemoryMaxMB: 16000}}))},
		{"home-calm", view(HomePage(Home{Flash: "saved"}))},
		{"first", view(FirstRunPage(FirstRun{Function: "hello", Runtime: "nodejs22.x", File: "index.mjs", Code: hostile, Event: "hello-world", Body: "{}", Ready: true, Endpoint: "http://x"}))},
		{"first-result", view(FirstRunPage(FirstRun{Function: "hello", Result: &TryResult{OK: true, Payload: hostile, Log: []string{hostile}, Cold: true}}))},
		{"first-failed", view(FirstRunPage(FirstRun{Function: "hello", Result: &TryResult{Error: "no sandbox"}}))},
		{"functions", view(FunctionsPage(Functions{Sort: "errors", Query: `"><b>`, Total: 11, Next: "stock-sync", Cut: true, Rows: []FunctionRow{
			{Name: "orders-api", Description: hostile, Runtime: "nodejs22.x", State: StateOK, Hour: spark, Last: figures, Today: figures, ChangedAt: galleryTime, ChangedBy: hostile}, {Name: "idle", State: StateIdle}}}))},
		{"functions-none", view(FunctionsPage(Functions{}))},
		{"functions-nomatch", view(FunctionsPage(Functions{Query: "x"}))},
		{"create", view(CreatePage(Create{Chosen: "node-hello", Templates: []TemplateChoice{{"node-hello", "fn", "nodejs22.x", true}, {"python-hello", "fn", "python3.13", false}, {"zip", "upload", "", false}},
			Runtimes: []RuntimeChoice{{"nodejs22.x", true, ""}, {"nodejs20.x", true, "nodejs22.x"}, {"java21", false, ""}}, Roles: []RoleChoice{{"arn", "kiln-default"}},
			Name: Field{ID: "cr-name", Name: "name", Label: "Name", Error: hostile}, Memory: Field{ID: "m"}, Timeout: Field{ID: "t"}, Preview: Preview{File: "index.mjs", Code: hostile, Files: []string{"a"}, Events: []string{"e"}}}))},
		{"create-zip", view(CreatePage(Create{Chosen: "zip", ZipError: "no zip", FormError: "x", Name: Field{ID: "n"}, Handler: Field{ID: "h", Hint: "hint"}, Memory: Field{ID: "m"}, Timeout: Field{ID: "t", Error: "e"}}))},
		{"configure", view(ConfigurePage(Configure{Head: head, Revision: 57, EnvShown: true, Form: ConfigForm{Env: []Pair{{"A", hostile}}, Tags: []Pair{{"t", "v"}}}, Changes: changes, Was: map[string]string{"memory": "128 MB", "environment A": "old"},
			Problems: map[string]string{"timeout": hostile, "environment": "e", "role": "r", "runtime": "x", "tags": "t"}, Conflict: &Conflict{By: "Lee Jiho", At: galleryTime, Number: 58}, Review: true,
			Roles: []RoleChoice{{"arn", "kiln-default"}}, RoleWords: []RoleStatement{{Allow: true, Key: "words.logs"}, {What: []string{"s3:*"}, On: []string{"*"}, Condition: true}}, Runs: &MemoryRuns{N: 3, LimitMB: 128}}))},
		{"configure-viewer", view(ConfigurePage(Configure{Head: head, Form: ConfigForm{Env: []Pair{{"A", ""}}}}))},
		{"review", view(templ.Join(ConfigurePage(Configure{Head: head}), ReviewDialog(Configure{Head: head, Changes: changes})))},
		{"versions", view(VersionsPage(Versions{Head: head, Current: 13, From: 12, To: 13, Numbers: []int64{13, 12}, Next: 3, Published: []PublishedVersion{{Number: 2, Description: hostile, Aliases: []AliasFlag{{"prod", 0}, {"canary", 0.1}}, At: galleryTime}}, Days: []VersionDay{{At: galleryTime, Items: []VersionItem{
			{Change: change, NewCode: true, Size: 3100, Current: true}, {Change: Change{Number: 12, Cause: "configure", At: galleryTime}, Changes: changes}, {Change: Change{Number: 11, Cause: "rollback", From: 9, At: galleryTime}}, {Change: Change{Number: 10, Cause: "create", At: galleryTime}, Note: hostile}}}},
			Diff: &RevisionDiff{Config: changes, Files: []FileDiff{{Path: "index.mjs", Kind: "changed", Plus: 1, Minus: 1, Lines: []DiffLine{{' ', 1, 1, hostile}, {'@', 0, 0, ""}, {'-', 2, 0, "a"}, {'+', 0, 2, "b"}}}, {Path: "bin", Kind: "added", NotShown: true}}}}))},
		{"versions-one", view(VersionsPage(Versions{Head: head, Current: 1, To: 1}))},
		{"versions-same", view(VersionsPage(Versions{Head: head, From: 1, To: 2, Diff: &RevisionDiff{Same: true}}))},
		{"async", view(AsyncPage(Async{ConfigurePart: ConfigurePart{Head: head, Key: "async", Flash: "saved", Above: hostile, Problems: map[string]string{"maxAge": hostile}}, IsSet: true, OnFailure: hostile, Functions: []string{hostile},
			Dead: []lambda.DeadLetter{{Reason: "retries", ErrorType: hostile, ErrorText: hostile, Target: hostile, At: galleryTime}, {Reason: "other"}}}))},
		{"url-none", view(URLPage(FunctionURL{ConfigurePart: ConfigurePart{Head: head, Key: "url"}, AuthType: "AWS_IAM", SID: "s", Region: "us-east-1"}))},
		{"url", view(URLPage(FunctionURL{ConfigurePart: ConfigurePart{Head: head, Key: "url", Problems: map[string]string{"cors.maxAge": hostile}}, Address: "http://a.localhost/", OnPath: "http://127.0.0.1/_url/a/", AuthType: "NONE", SID: "s", CORS: CORSForm{Origins: hostile, Credentials: true}}))},
		{"layers-none", view(LayersPage(Layers{ConfigurePart: ConfigurePart{Head: head, Key: "layers"}}))},
		{"layers", view(LayersPage(Layers{ConfigurePart: ConfigurePart{Head: head, Key: "layers", Problems: map[string]string{"layers": hostile}}, Chosen: []string{"arn"}, Choices: []LayerChoice{{"arn", hostile}}, Known: []lambda.LayerVersion{{Layer: hostile, Number: 2, Description: hostile, Runtimes: []string{"nodejs22.x"}}}}))},
		{"publish", view(QuestionPage(Publish{Name: "f", Current: 4, Description: hostile, Above: hostile, Problems: map[string]string{"description": hostile}}))},
		{"publish-dialog", view(QuestionDialog(Publish{Name: "f", Current: 4}))},
		{"version-delete", view(QuestionPage(DeleteVersion{Name: "f", Number: 3, Above: hostile}))},
		{"alias-new", view(QuestionPage(AliasForm{Function: "f", Name: hostile, IsNew: true, Version: "2", Versions: []VersionChoice{{"2", hostile}, {"1", ""}}, Problems: map[string]string{"name": hostile, "weights": hostile}}))},
		{"alias", view(QuestionPage(AliasForm{Function: "f", Name: "prod", Version: "2", Second: "1", Share: "10", Versions: []VersionChoice{{"2", hostile}, {"1", ""}}}))},
		{"rollback", view(RollBackPage(RollBack{Name: "f", Current: 4, To: change, Diff: changes, NewCode: true}))},
		{"rollback-dialog", view(RollBackDialog(RollBack{Name: "f", To: change}))},
		{"delete", view(DeletePage(Delete{Name: "f", Typed: hostile, Wrong: true, Running: 2, Queued: 3}))},
		{"delete-dialog", view(DeleteDialog(Delete{Name: "f"}))},
		{"runtimes", view(RuntimesPage(RuntimesSettings{Rung: "B", Reason: "why", Runtimes: []RuntimeRow{{Name: "nodejs22.x", Ready: true, Version: "22.1", Path: "/usr/bin/node", Functions: 4}, {Name: "nodejs24.x", CanInstall: true, By: "nodejs22.x"},
			{Name: "python3.13", CanInstall: true, Install: &Install{Name: "python3.13", Done: 10, Total: 100}}, {Name: "python3.12", CanInstall: true, Install: &Install{Ended: true, Error: hostile}}, {Name: "nodejs20.x", Install: &Install{Name: "n"}}}}))},
		{"runtimes-none", view(RuntimesPage(RuntimesSettings{}))},
		{"account", view(AccountPage(AccountSettings{Concurrency: Field{ID: "a", Error: "x"}, LogDays: Field{ID: "b", Unit: "days"}, InvocationDays: Field{ID: "c"}, AuditDays: Field{ID: "d"}, PerMillion: Field{ID: "e"}, PerGBSecond: Field{ID: "f"}}))},
		{"sessions", view(SessionsPage(SessionsSettings{Sessions: []SessionRow{{ID: 1, Agent: hostile, From: "127.0.0.1", Seen: galleryTime, This: true}, {ID: 2, Agent: "Firefox", Seen: galleryTime}}}))},
		{"audit", view(AuditPage(AuditSettings{Next: 3, Denied: true, Rows: []AuditRow{{At: galleryTime, By: hostile, Action: "lambda:DeleteFunction", Resource: "arn", Denied: true, Detail: []Pair{{"memory", "128 → 256"}}}}}))},
		{"audit-none", view(AuditPage(AuditSettings{}))},
		{"palette", view(PaletteView(Palette{Query: hostile, Groups: []PaletteGroup{{Key: "palette.functions", Items: []PaletteItem{{Icon: "fn", Mono: "orders-api", Href: "/x"}}}, {Key: "palette.pages", Items: []PaletteItem{{Icon: "home", Text: "Home", Href: "/"}}}}}))},
		{"palette-none", view(PaletteView(Palette{Query: "x"}))},
	}
}

func TestHighlightingLosesNothing(t *testing.T) {
	for _, file := range []string{"a.mjs", "a.py", "a.sh", "a.json", "README.md", "bootstrap"} {
		for _, line := range []string{"", "  const x = \"a\" + 'b' + `c`; // d", "def f(a): # c", "\tif [ $# -gt 1 ]; then", `{"a": 1.5, "b": [true, null]}`, `unfinished "string`, "한글 = '값'", strings.Repeat("x ", 3000)} {
			var b strings.Builder
			for _, s := range Highlight(file, line) {
				b.WriteString(s.Text)
			}
			if b.String() != line {
				t.Errorf("%s: %q became %q", file, line, b.String())
			}
		}
	}
}

func FuzzHighlight(f *testing.F) {
	f.Add("a.mjs", `const x = "a" // b`)
	f.Fuzz(func(t *testing.T, file, line string) {
		var b strings.Builder
		for _, s := range Highlight(file, line) {
			b.WriteString(s.Text)
		}
		if b.String() != line {
			t.Errorf("%q became %q", line, b.String())
		}
	})
}

func TestSparklinesStayInTheirBox(t *testing.T) {
	for _, s := range []Spark{{}, {Values: []float64{0, 0}}, {Values: []float64{5}}, {Values: []float64{1, 100, 3}, Errors: []bool{true, true, true}, W: 160, H: 24}} {
		if l := s.Line(); !strings.HasPrefix(l, "M") || strings.Contains(l, "NaN") || strings.Contains(s.Area(), "Inf") {
			t.Errorf("%+v: %s", s, l)
		}
	}
}
