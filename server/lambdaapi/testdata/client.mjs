// Drives the API as the JavaScript SDK v3 does. LAMBDA, LOGS and STS are paths of its packages.
import assert from 'node:assert'
import { createRequire } from 'node:module'
const require = createRequire(process.env.KILN_MODULES + '/x.js')
const { Lambda, waitUntilFunctionActiveV2, waitUntilFunctionUpdatedV2, paginateListFunctions, ResourceNotFoundException, TooManyRequestsException } = require('@aws-sdk/client-lambda')
const { CloudWatchLogs } = require('@aws-sdk/client-cloudwatch-logs')
const { STS } = require('@aws-sdk/client-sts')
const o = { endpoint: process.env.KILN_URL, region: 'us-east-1', maxAttempts: 1 }
const lambda = new Lambda(o), logs = new CloudWatchLogs(o), sts = new STS(o)
const zip = Buffer.from(process.env.KILN_ZIP, 'base64')

assert.equal((await sts.getCallerIdentity({})).Account, '000000000000')
await lambda.createFunction({ FunctionName: 'js', Runtime: 'nodejs22.x', Role: 'arn:aws:iam::000000000000:role/kiln-default', Handler: 'index.handler', Code: { ZipFile: zip }, Environment: { Variables: { A_B: 'ü' } } })
await waitUntilFunctionActiveV2({ client: lambda, maxWaitTime: 10, minDelay: 1 }, { FunctionName: 'js' })
await lambda.updateFunctionCode({ FunctionName: 'js', ZipFile: zip })
await waitUntilFunctionUpdatedV2({ client: lambda, maxWaitTime: 10, minDelay: 1 }, { FunctionName: 'js' })
const got = await lambda.getFunction({ FunctionName: 'arn:aws:lambda:us-east-1:000000000000:function:js' })
assert.equal(got.Configuration.Environment.Variables.A_B, 'ü')
const res = await lambda.invoke({ FunctionName: 'js', Payload: JSON.stringify({ a: [1] }), LogType: 'Tail' })
assert.equal(Buffer.from(res.Payload).toString(), '{"a":[1]}')
assert.match(Buffer.from(res.LogResult, 'base64').toString(), /^START RequestId: /)
let text = ''
const stream = await lambda.invokeWithResponseStream({ FunctionName: 'js', Payload: '[1,2,3]' })
for await (const e of stream.EventStream) if (e.PayloadChunk) text += Buffer.from(e.PayloadChunk.Payload).toString()
assert.equal(text, '[1,2,3]')
const names = []
for await (const page of paginateListFunctions({ client: lambda, pageSize: 1 }, {})) names.push(...page.Functions.map(f => f.FunctionName))
assert.ok(names.includes('js') && new Set(names).size === names.length, names)
await assert.rejects(lambda.getFunction({ FunctionName: 'nobody' }), e => e instanceof ResourceNotFoundException && /Function not found: arn:aws:lambda/.test(e.message ?? e.Message))
await assert.rejects(lambda.invoke({ FunctionName: 'busy' }), e => e instanceof TooManyRequestsException && e.Reason === 'ReservedFunctionConcurrentInvocationLimitExceeded')
const { logGroups } = await logs.describeLogGroups({ logGroupNamePrefix: '/aws/lambda/js' })
assert.equal(logGroups[0].logGroupName, '/aws/lambda/js')
const { events } = await logs.filterLogEvents({ logGroupName: '/aws/lambda/logged', filterPattern: 'REPORT' })
assert.match(events[0].message, /^REPORT RequestId: \S+\tDuration: 12\.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 50\.00 ms\t\n$/)
await lambda.deleteFunction({ FunctionName: 'js' })
console.log('the JavaScript SDK is content')
