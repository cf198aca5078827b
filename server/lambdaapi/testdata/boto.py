"""Drives the API as boto3 does: every waiter, paginator and error class is botocore's own."""
import io, json, os, zipfile
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

cfg = Config(retries={"max_attempts": 1}, parameter_validation=True)
kw = dict(endpoint_url=os.environ["KILN_URL"], region_name="us-east-1", config=cfg)
lam, logs, sts = boto3.client("lambda", **kw), boto3.client("logs", **kw), boto3.client("sts", **kw)
ROLE = "arn:aws:iam::000000000000:role/kiln-default"


def package(text):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("app.py", text)
    return b.getvalue()


def fails(code, f, **args):
    try:
        f(**args)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        return e.response
    raise AssertionError("no error: " + code)


who = sts.get_caller_identity()
assert who["Account"] == "000000000000" and who["Arn"].endswith(":root"), who

lam.create_function(FunctionName="py", Runtime="python3.13", Role=ROLE, Handler="app.handler", Code={"ZipFile": package("1")}, Timeout=5, Tags={"a": "b c"})
lam.get_waiter("function_active_v2").wait(FunctionName="py", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
lam.update_function_configuration(FunctionName="py", MemorySize=300, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"})
lam.get_waiter("function_updated_v2").wait(FunctionName="py", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
f = lam.get_function(FunctionName="py")
assert f["Configuration"]["MemorySize"] == 300 and f["Tags"] == {"a": "b c"}, f
assert f["Configuration"]["LoggingConfig"] == {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "INFO", "LogGroup": "/aws/lambda/py"}, f["Configuration"]["LoggingConfig"]
lam.tag_resource(Resource=f["Configuration"]["FunctionArn"], Tags={"c": "d"})
lam.untag_resource(Resource=f["Configuration"]["FunctionArn"], TagKeys=["a"])
assert lam.list_tags(Resource=f["Configuration"]["FunctionArn"])["Tags"] == {"c": "d"}

r = lam.invoke(FunctionName="py", Payload=json.dumps({"한": "글"}), LogType="Tail", ClientContext="eyJhIjoxfQ==")
assert json.loads(r["Payload"].read()) == {"한": "글"} and r["StatusCode"] == 200 and r["ExecutedVersion"] == "$LATEST", r
assert lam.invoke(FunctionName="py", InvocationType="Event", Payload=b"{}")["StatusCode"] == 202
assert lam.invoke(FunctionName="py", InvocationType="DryRun")["StatusCode"] == 204
chunks = b"".join(e["PayloadChunk"]["Payload"] for e in lam.invoke_with_response_stream(FunctionName="py", Payload=b"[1,2]")["EventStream"] if "PayloadChunk" in e)
assert chunks == b"[1,2]", chunks

v = lam.publish_version(FunctionName="py", Description="one")
assert v["Version"] == "1" and lam.publish_version(FunctionName="py")["Version"] == "1"
lam.get_waiter("published_version_active").wait(FunctionName="py", Qualifier="1", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
lam.create_alias(FunctionName="py", Name="prod", FunctionVersion="1")
assert [a["Name"] for p in lam.get_paginator("list_aliases").paginate(FunctionName="py") for a in p["Aliases"]] == ["prod"]
assert [x["Version"] for p in lam.get_paginator("list_versions_by_function").paginate(FunctionName="py", PaginationConfig={"PageSize": 1}) for x in p["Versions"]] == ["$LATEST", "1"]
lam.put_function_event_invoke_config(FunctionName="py", MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}})
assert lam.get_function_event_invoke_config(FunctionName="py")["DestinationConfig"]["OnFailure"]["Destination"].endswith(":q")
lam.put_function_concurrency(FunctionName="py", ReservedConcurrentExecutions=5)
assert lam.get_function_concurrency(FunctionName="py")["ReservedConcurrentExecutions"] == 5
lam.delete_function_concurrency(FunctionName="py")
lam.put_provisioned_concurrency_config(FunctionName="py", Qualifier="prod", ProvisionedConcurrentExecutions=2)
assert lam.get_provisioned_concurrency_config(FunctionName="py", Qualifier="prod")["Status"] == "READY"
m = lam.create_event_source_mapping(FunctionName="py", EventSourceArn="arn:aws:sqs:us-east-1:000000000000:q", BatchSize=3)
assert lam.get_event_source_mapping(UUID=m["UUID"])["BatchSize"] == 3
assert lam.update_event_source_mapping(UUID=m["UUID"], Enabled=False)["State"] == "Disabled"
assert len(lam.list_event_source_mappings(FunctionName="py")["EventSourceMappings"]) == 1
lam.delete_event_source_mapping(UUID=m["UUID"])
assert lam.get_account_settings()["AccountUsage"]["FunctionCount"] >= 1
assert lam.get_runtime_management_config(FunctionName="py")["UpdateRuntimeOn"] == "Auto"
assert lam.put_function_recursion_config(FunctionName="py", RecursiveLoop="Allow")["RecursiveLoop"] == "Allow"
u = lam.create_function_url_config(FunctionName="py", AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM")
assert u["FunctionUrl"].startswith("http") and len(lam.list_function_url_configs(FunctionName="py")["FunctionUrlConfigs"]) == 1

fails("ResourceNotFoundException", lam.get_function, FunctionName="nobody")
fails("ResourceConflictException", lam.create_function, FunctionName="py", Runtime="python3.13", Role=ROLE, Handler="app.handler", Code={"ZipFile": package("1")})
fails("InvalidParameterValueException", lam.update_function_code, FunctionName="py", S3Bucket="bucket", S3Key="k")
e = fails("InvalidRequestContentException", lam.invoke, FunctionName="py", Payload=b"{nope")
assert e["ResponseMetadata"]["HTTPStatusCode"] == 400, e

groups = [g["logGroupName"] for p in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws/lambda/") for g in p["logGroups"]]
assert "/aws/lambda/py" in groups, groups
logs.put_retention_policy(logGroupName="/aws/lambda/py", retentionInDays=7)
assert logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/py")["logGroups"][0]["retentionInDays"] == 7
fails("ResourceNotFoundException", logs.describe_log_streams, logGroupName="/aws/lambda/nobody")
streams = logs.describe_log_streams(logGroupName="/aws/lambda/logged", orderBy="LastEventTime", descending=True)["logStreams"]
events = logs.get_log_events(logGroupName="/aws/lambda/logged", logStreamName=streams[0]["logStreamName"], startFromHead=True)["events"]
kinds = [x["message"].split()[0] for x in events]
assert kinds == ["START", "hello", "END", "REPORT"], events
found = [x["message"] for p in logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/logged", filterPattern="hello") for x in p["events"]]
assert found == ["hello\n"], found

lam.delete_function(FunctionName="py")
print("boto3 is content")
