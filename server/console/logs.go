package console

// watchStore is what logs, invocations and charts need.
type watchStore interface{}

func (c *Console) logsRoutes() []Route { return nil }
