//go:build linux

package process

import _ "embed"

//go:embed testdata/bootstraps/node/bootstrap.js
var nodeBootstrap string

//go:embed testdata/bootstraps/python/bootstrap.py
var pythonBootstrap string

var bootstrapTexts = map[string]string{"node/bootstrap.js": nodeBootstrap, "python/bootstrap.py": pythonBootstrap}
