// The function itself. Build it on your machine with ./build.sh and drop function.zip on this function's page.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-lambda-go/lambda"
)

type event struct {
	Name string `json:"name"`
}

type answer struct {
	Message string `json:"message"`
}

func handle(_ context.Context, e event) (answer, error) {
	log.Printf("Saying hello to %s", e.Name)
	return answer{Message: fmt.Sprintf("Hello, %s!", e.Name)}, nil
}

func main() { lambda.Start(handle) }
