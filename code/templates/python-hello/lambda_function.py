# Kiln calls lambda_handler with the test event. What it returns is the answer; what it prints appears below, live.
import logging

logging.getLogger().setLevel(logging.INFO)


def lambda_handler(event, context):
    name = event.get("name", "world")
    logging.info("Saying hello to %s (request %s)", name, context.aws_request_id)
    return {"message": f"Hello, {name}!", "remainingMs": context.get_remaining_time_in_millis()}
