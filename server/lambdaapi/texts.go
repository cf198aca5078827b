package lambdaapi

import (
	"errors"

	"kiln/lambda"
)

// texts is the one table from the domain's keys to AWS's errors. A key that is not in it is answered by its kind.
var texts = map[string]func(c *call, e *lambda.Error) *failure{
	"function.missing": missingFunction,
	"version.missing":  missingFunction,
	"alias.missing":    missingFunction,
	"function.exists": func(c *call, e *lambda.Error) *failure {
		return conflict("Function already exist: %s", e.Params["name"])
	},
	"function.changed": updateInProgress,
	"revision.id":      func(*call, *lambda.Error) *failure { return stale("GetFunction/GetAlias") },
	"policy.revision":  func(*call, *lambda.Error) *failure { return stale("GetPolicy") },
	"policy.missing": func(*call, *lambda.Error) *failure {
		return notFound("No policy is associated with the given resource.")
	},
	"statement.missing": func(c *call, e *lambda.Error) *failure {
		return notFound("Statement %s is not found in resource policy.", e.Params["sid"])
	},
	"statement.exists": func(c *call, e *lambda.Error) *failure {
		return conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", e.Params["sid"])
	},
	"version.used": func(c *call, e *lambda.Error) *failure {
		return conflict("Version is pointed to by an alias: [%s]", e.Params["aliases"])
	},
	"layer.missing": func(c *call, e *lambda.Error) *failure {
		return invalidValue("Layer version %s does not exist.", e.Params["arn"])
	},
	"layer.region": func(c *call, e *lambda.Error) *failure {
		return invalidValue("Layers are not in the same region as the function. Layers are expected to be in region %s.", e.Params["region"])
	},
	"layer.twice": func(c *call, e *lambda.Error) *failure {
		return invalidValue("Two different versions of the same layer are not allowed to be referenced in the same function. %s and %s are versions of the same layer.", e.Params["a"], e.Params["b"])
	},
	"async.self": func(*call, *lambda.Error) *failure {
		return invalidValue("You can't specify the function as a destination for itself.")
	},
	"async.destination": func(c *call, e *lambda.Error) *failure {
		return invalidValue("The destination ARN %s is invalid.", e.Params["arn"])
	},
	"zip.size": func(*call, *lambda.Error) *failure {
		return tooLarge("Zipped size must be smaller than %d bytes", lambda.MaxZip)
	},
	"zip.unzipped": func(*call, *lambda.Error) *failure {
		return invalidValue("Unzipped size must be smaller than %d bytes", lambda.MaxUnzipped)
	},
	"event.json": notJSON,
	"event.size": func(c *call, e *lambda.Error) *failure {
		return tooLarge("Request must be smaller than %d bytes for the InvokeFunction operation", lambda.MaxEvent)
	},
	"recursion.stopped": func(*call, *lambda.Error) *failure {
		return &failure{status: 400, code: "RecursiveInvocationException", message: "Lambda has detected your function being invoked in a recursive loop with other AWS resources and stopped your function's invocation."}
	},
	"runtime.missing": func(c *call, e *lambda.Error) *failure {
		return &failure{status: 502, code: "InvalidRuntimeException", message: "This machine has no " + e.Params["runtime"] + ". Install it with: kiln runtimes install " + e.Params["runtime"]}
	},
}

func missingFunction(c *call, e *lambda.Error) *failure {
	return notFound("Function not found: %s", c.arn())
}

func updateInProgress(c *call, e *lambda.Error) *failure {
	return conflict("The operation cannot be performed at this time. An update is in progress for resource: %s", c.api.ARNs.Function(c.function, ""))
}

// domainFailure words a domain error.
func (c *call) domainFailure(e *lambda.Error) *failure {
	if f := texts[e.Key]; f != nil {
		return f(c, e)
	}
	switch e.Kind {
	case lambda.Invalid:
		return invalidInput(e)
	case lambda.NotFound:
		return notFound("The resource you requested does not exist.")
	case lambda.Conflict:
		return updateInProgress(c, e)
	case lambda.Precondition:
		return stale("GetFunction/GetAlias")
	case lambda.Throttled:
		return throttled(e)
	case lambda.TooLarge:
		return tooLarge("Request must be smaller than %d bytes for the %s operation", lambda.MaxRequest, c.name())
	case lambda.Unavailable:
		return &failure{status: 503, code: "ServiceUnavailableException", message: "Service is temporarily unavailable: " + e.Key, form: typedUpper, cause: e}
	case lambda.Denied:
		return denied("User: " + c.who.ARN + " is not authorized to perform: " + c.name())
	}
	return serviceFault(e)
}

func throttled(e *lambda.Error) *failure {
	reason := e.Params["reason"]
	if reason == "" {
		reason = "ConcurrentInvocationLimitExceeded"
	}
	return &failure{status: 429, code: "TooManyRequestsException", message: "Rate Exceeded.", reason: reason}
}

func hasProblem(err error, field, key string) bool {
	e, ok := errors.AsType[*lambda.Error](err)
	if !ok {
		return false
	}
	for _, p := range e.Problems {
		if p.Field == field && p.Key == key {
			return true
		}
	}
	return false
}

// invalidInput words the first rule that is broken. Most are caught by the model's constraints before.
func invalidInput(e *lambda.Error) *failure {
	if len(e.Problems) == 0 {
		if len(e.Key) > 4 && e.Key[:4] == "zip." {
			return invalidValue("Could not unzip uploaded file. Please check your file, then try to upload again.")
		}
		return invalidValue("An error occurred and the request cannot be processed.")
	}
	p := e.Problems[0]
	switch p.Key {
	case "envReserved":
		return invalidValue("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", p.Params["names"])
	case "envName":
		return validation("1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]")
	case "count":
		if p.Field == "tags" {
			return invalidValue("Number of tags exceeds resource tag limit.")
		}
	case "unreserved":
		return invalidValue("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%s].", p.Params["min"])
	case "levelsNeedJSON":
		return invalidValue("LogLevel is not supported when LogFormat is set to \"Text\". Remove LogLevel from your request or change the LogFormat to \"JSON\" and try again.")
	case "arn":
		return invalidValue("The provided ARN %s is invalid.", p.Params["value"])
	}
	return validation("1 validation error detected: Value '" + p.Params["value"] + "' at '" + p.Field + "' failed to satisfy constraint: " + p.Key)
}
