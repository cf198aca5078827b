package console

// workspaceStore is what the workspace needs: files, drafts, saved events, runs.
type workspaceStore interface{}

func (c *Console) workspaceRoutes() []Route { return nil }
