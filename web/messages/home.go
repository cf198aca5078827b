package messages

// home are the texts of Home.
var home = []Entry{
	{"home.new", "New function", "새 함수"},
}
