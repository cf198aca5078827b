package console

func (c *Console) invocationsRoutes() []Route { return nil }
