package lambdaapi

import (
	"fmt"

	"kiln/lambda"
)

func putConcurrency(c *call) (any, error) {
	var in struct{ ReservedConcurrentExecutions *int }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	var k checks
	k.present(in.ReservedConcurrentExecutions != nil, "reservedConcurrentExecutions")
	k.between(in.ReservedConcurrentExecutions, "reservedConcurrentExecutions", 0, 1<<30)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := c.reservable(*in.ReservedConcurrentExecutions); err != nil {
		return nil, err
	}
	f, err := c.api.Store.UpdateFunction(c.ctx(), c.who, c.function, 0, lambda.FunctionUpdate{Reserved: &in.ReservedConcurrentExecutions})
	if err != nil {
		return nil, err
	}
	c.changed()
	return concurrency{*f.Reserved}, nil
}

// reservable words AWS's two rules about what the account can spare, and the one about provisioned concurrency.
func (c *call) reservable(want int) error {
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return err
	}
	account, reserved, err := c.api.Store.Concurrency(c.ctx())
	if err != nil {
		return err
	}
	if f.Reserved != nil {
		reserved -= *f.Reserved
	}
	free := account - reserved
	var text string
	switch {
	case want > free:
		text = fmt.Sprintf("Specified ReservedConcurrentExecutions for function is greater than account's unreserved concurrency [%d].", free)
	case want > 0 && free-want < lambda.MinUnreserved:
		text = fmt.Sprintf("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", lambda.MinUnreserved)
	default:
		total, err := c.provisionedTotal()
		if err != nil || want >= total {
			return err
		}
		text = fmt.Sprintf(" ReservedConcurrentExecutions  %d should not be lower than function's total provisioned concurrency [%d].", want, total)
	}
	return &failure{status: 400, code: "InvalidParameterValueException", message: text, form: bareLower}
}

func getConcurrency(c *call) (any, error) {
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, err
	}
	if f.Reserved == nil {
		return struct{}{}, nil
	}
	return concurrency{*f.Reserved}, nil
}

func deleteConcurrency(c *call) (any, error) {
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	var none *int
	_, err := c.api.Store.UpdateFunction(c.ctx(), c.who, c.function, 0, lambda.FunctionUpdate{Reserved: &none})
	if err == nil {
		c.changed()
	}
	return nil, err
}

func getAccountSettings(c *call) (any, error) {
	functions, bytes, err := c.api.Store.AccountUsage(c.ctx())
	if err != nil {
		return nil, err
	}
	limit, reserved, err := c.api.Store.Concurrency(c.ctx())
	if err != nil {
		return nil, err
	}
	type limits struct {
		TotalCodeSize                  int64
		CodeSizeUnzipped               int64
		CodeSizeZipped                 int64
		ConcurrentExecutions           int
		UnreservedConcurrentExecutions int
	}
	type usage struct {
		TotalCodeSize int64
		FunctionCount int
	}
	return struct {
		AccountLimit limits
		AccountUsage usage
	}{limits{80_530_636_800, lambda.MaxUnzipped, lambda.MaxZip, limit, limit - reserved}, usage{bytes, functions}}, nil
}
