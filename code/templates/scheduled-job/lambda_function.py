# A job that a schedule starts: it looks at the hour that has just ended and says what it did.
import logging
from datetime import datetime, timedelta

log = logging.getLogger()
log.setLevel(logging.INFO)


def lambda_handler(event, context):
    fired = datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
    until = fired.replace(minute=0, second=0, microsecond=0)
    since = until - timedelta(hours=1)
    log.info("Started by %s", ", ".join(event.get("resources", [])) or "hand")
    done = work(since, until)
    log.info("Finished: %d items", done)
    return {"from": since.isoformat(), "to": until.isoformat(), "items": done}


def work(since, until):
    # Put the job itself here: read what happened between since and until, and deal with it.
    return int((until - since).total_seconds() // 60)
