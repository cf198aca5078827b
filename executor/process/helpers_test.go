//go:build linux

package process

func helperMain(string, []string) int { return 2 }
