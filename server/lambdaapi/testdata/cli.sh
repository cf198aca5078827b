# Drives the API as a person with the AWS CLI does. ZIP is a package, the endpoint is in AWS_ENDPOINT_URL.
set -eu
is() { [ "$1" = "$2" ] || { echo "got  $1"; echo "want $2"; exit 1; }; }
is "$(aws sts get-caller-identity --query Arn --output text)" arn:aws:iam::000000000000:root
is "$(aws lambda create-function --function-name cli --runtime nodejs22.x --role arn:aws:iam::000000000000:role/kiln-default --handler index.handler --zip-file "fileb://$ZIP" --environment 'Variables={STAGE=test}' --query State --output text)" Pending
aws lambda wait function-active-v2 --function-name cli
printf '{"a":1}' > in.json
is "$(aws lambda invoke --function-name cli --payload fileb://in.json --log-type Tail out.json --query '[StatusCode,ExecutedVersion]' --output text)" "200	\$LATEST"
is "$(cat out.json)" '{"a":1}'
is "$(aws lambda update-function-configuration --function-name cli --timeout 9 --query '[Timeout,LastUpdateStatus]' --output text)" "9	InProgress"
is "$(aws lambda publish-version --function-name cli --query Version --output text)" 1
is "$(aws lambda create-alias --function-name cli --name prod --function-version 1 --query AliasArn --output text)" arn:aws:lambda:us-east-1:000000000000:function:cli:prod
aws lambda add-permission --function-name cli:prod --statement-id s --action lambda:InvokeFunction --principal events.amazonaws.com --source-arn arn:aws:events:us-east-1:000000000000:rule/r > /dev/null
is "$(aws lambda list-functions --query 'Functions[?FunctionName==`cli`].Timeout' --output text)" 9
if aws lambda get-function --function-name nobody 2> err.txt; then exit 1; fi
grep -q 'An error occurred (ResourceNotFoundException) when calling the GetFunction operation: Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody' err.txt
is "$(aws logs filter-log-events --log-group-name /aws/lambda/logged --filter-pattern hello --query 'events[].message' --output text | tr -d '\n')" hello
aws lambda delete-function --function-name cli
echo "the AWS CLI is content"
