package messages

// shared are words that several pages use.
var shared = []Entry{
	{"unit.s", "{n} s", "{n}초"},
	{"unit.min", "{n} min", "{n}분"},
	{"unit.h", "{n} h", "{n}시간"},
	{"unit.d", "{n} d", "{n}일"},
	{"act.close", "Close", "닫기"},
	{"act.more", "Show more", "더 보기"},
	{"state.ok", "active", "정상"},
	{"state.failing", "failing", "실패 중"},
	{"state.throttled", "throttled", "제한됨"},
	{"state.stopped", "stopped", "중지됨"},
	{"state.noruntime", "no runtime", "런타임 없음"},
	{"state.idle", "no runs", "실행 없음"},
	{"js.copied", "Copied", "복사했습니다"},
	{"js.offline", "Kiln does not answer. Your input is still here; try again in a moment.", "Kiln이 응답하지 않습니다. 입력한 내용은 그대로 있으니 잠시 후 다시 시도하세요."},
}
