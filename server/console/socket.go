package console

func (c *Console) socketRoutes() []Route { return nil }
