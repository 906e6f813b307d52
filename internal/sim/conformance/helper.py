"""A connector of a few lines on OpenCTI's own helper: it registers, pings, keeps
a state, sends a bundle under a work and sees it complete: through the broker or, with
CONNECTOR_QUEUE_PROTOCOL=api, by the helper's own push.

Settings come from the environment, as for any connector."""

import importlib.metadata
import os
import sys
import time

from pycti import Identity, OpenCTIConnectorHelper

STATE = {"last_run": "2026-01-02T03:04:05+00:00"}
author = {"type": "identity", "spec_version": "2.1", "id": Identity.generate_id("The helper", "organization"),
          "name": "The helper", "identity_class": "organization", "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z"}
malware = {"type": "malware", "spec_version": "2.1", "id": "malware--00000000-0000-4000-8000-000000000001", "name": "Sent by the helper",
           "is_family": False, "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "created_by_ref": author["id"]}

helper = OpenCTIConnectorHelper({})
work = helper.api.work.initiate_work(helper.connect_id, "helper")
helper.send_stix2_bundle(helper.stix2_create_bundle([malware, author]), work_id=work)

def until(done):
    for _ in range(300):
        seen = helper.api.work.get_work(work)
        if done(seen):
            break
        time.sleep(0.1)
    return seen


if helper.queue_protocol == "api":
    # Whoever splits the bundle announces it. Told its end before that, the work would be
    # complete with nothing expected, and its messages come too late.
    until(lambda seen: seen["tracking"]["import_expected_number"] == seen["tracking"]["import_processed_number"] == 2)
helper.api.work.to_processed(work, "sent")
seen = until(lambda seen: seen["status"] == "complete")
# Not at once: the helper's first ping, beside this, would send its state from before.
helper.set_state(STATE)
helper.force_ping()
again = OpenCTIConnectorHelper({})
problems = []
if seen["status"] != "complete" or seen["errors"]:
    problems.append(f"the work is {seen['status']} with errors {seen['errors']}, want complete without any")
# Up to 7.26 the platform drops the counts when the end is told after the last report.
counts = seen["tracking"]["import_expected_number"], seen["tracking"]["import_processed_number"]
if counts not in [(2, 2), (None, None)]:
    problems.append(f"the work counts {seen['tracking']}, want 2 expected and 2 processed")
if again.get_state() != STATE:
    problems.append(f"the state is {again.get_state()}, want {STATE}")
print(f"helper {importlib.metadata.version('pycti')}, {helper.queue_protocol}: registered, pinged, state kept, a bundle of 2 objects complete"
      if not problems else "helper: " + "; ".join(problems), flush=True)
sys.stdout.flush()
# Without the helper's own end, which would delete the connector.
os._exit(1 if problems else 0)
