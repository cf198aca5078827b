package messages

// kept are the errors of what is kept in the database.
var kept = []Entry{
	{"error.alias.exists", "The alias {alias} exists already.", "별칭 {alias}이(가) 이미 있습니다."},
	{"error.async.missing", "No event settings were made for this qualifier.", "이 한정자에 대한 이벤트 설정이 없습니다."},
	{"error.async.self", "A function cannot be its own destination.", "함수를 자기 자신의 대상으로 지정할 수 없습니다."},
	{"error.async.destination", "The destination {arn} does not exist.", "대상 {arn}이(가) 없습니다."},
	{"error.document.missing", "There is no such setting.", "그런 설정이 없습니다."},
	{"error.policy.missing", "Nobody else was given access here.", "여기에 부여된 접근 권한이 없습니다."},
	{"error.policy.revision", "Somebody else changed this policy in the meantime. Load it again.", "그 사이 다른 사람이 이 정책을 변경했습니다. 다시 불러오세요."},
	{"error.statement.exists", "A statement with the id {sid} exists already.", "ID가 {sid}인 문이 이미 있습니다."},
	{"error.statement.missing", "There is no statement with the id {sid}.", "ID가 {sid}인 문이 없습니다."},
	{"error.url.exists", "This function has a URL already.", "이 함수에는 이미 URL이 있습니다."},
	{"error.url.missing", "There is no such function URL.", "그런 함수 URL이 없습니다."},
	{"error.version.code", "The code was changed in the meantime: it is {current}, not {given}.", "그 사이 코드가 변경되었습니다. 현재 {current}이며 {given}이(가) 아닙니다."},
	{"error.version.used", "Version {version} is used by the aliases {aliases}.", "버전 {version}은(는) 별칭 {aliases}에서 사용합니다."},
	{"error.user.wrong", "A person needs a name of at most 100 characters and one of the roles.", "이름(100자 이하)과 역할이 필요합니다."},
	{"error.user.exists", "Somebody else has the address {email}.", "{email} 주소는 다른 사용자가 쓰고 있습니다."},
	{"error.user.lastOwner", "This is the only owner. Make somebody else an owner first.", "유일한 소유자입니다. 먼저 다른 사람을 소유자로 지정하세요."},
	{"problem.layerName", "A layer's name has 1 to 140 letters, digits, hyphens and underscores.", "계층 이름은 문자, 숫자, 하이픈, 밑줄 1~140자로 지정합니다."},
	{"problem.statementID", "A statement's id has 1 to 100 letters, digits, hyphens and underscores.", "문 ID는 문자, 숫자, 하이픈, 밑줄 1~100자로 지정합니다."},
}
