package console

func (c *Console) monitorRoutes() []Route { return nil }
