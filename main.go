// Command kiln runs Lambda functions on your own machine.
package main

func main() {}
