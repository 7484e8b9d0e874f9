"""The audit in plain words for people: a decision, a list, the causes of refusals, a verification.

Knows the documents that `--json` prints, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any

from omnilab.cli.output import table

Document = Mapping[str, Any]

_FACTS = (
    ("When", "occurred_at"),
    ("Tenant", "tenant"),
    ("Client", "client_id"),
    ("Secret", "secret_id"),
    ("Address", "address"),
    ("Endpoint", "endpoint"),
    ("Caller's own id", "caller_request_id"),
)


def decision_text(document: Document) -> str:
    """Everything one request left."""
    return "\n\n".join(_decision(record) for record in document["records"])


def edge_text(document: Document) -> str:
    """What is known of a request that a proxy answered by itself."""
    told = [
        f"The proxy in front of OmniLab answered this by itself: {document['status']}, {document['occurred_at']}.",
        document["meaning"],
        f"To do: {document['fix']}",
    ]
    if document["reached_us"]:
        return "\n".join([*told, "A node had taken the request all the same:", "", decision_text(document)])
    return "\n".join([*told, "It never reached us: no node has recorded it, nothing was decided and nothing done."])


def records_text(document: Document) -> str:
    """Decisions as a table, newest first."""
    names = ("occurred_at", "request_id", "tenant", "client_id", "endpoint", "outcome", "code", "address")
    return table(names, [[record[name] for name in names] for record in document["records"]], empty="No records.")


def events_text(document: Document) -> str:
    """Security events as a table, newest first."""
    names = ("occurred_at", "severity", "event", "tenant", "client_id", "secret_id", "address", "request_id")
    rows = [{**record, **record["details"]} for record in document["records"]]
    return table(names, [[row[name] for name in names] for row in rows], empty="No events.")


def causes_text(document: Document) -> str:
    """The causes of a tenant's refusals, the most frequent first."""
    causes: Sequence[Document] = document["causes"]
    if not causes:
        return f"No refusals of {document['tenant']} since {document['since']}."
    parts = [f"Refusals of {document['tenant']} since {document['since']}, by cause:"]
    parts += [_cause(number, cause) for number, cause in enumerate(causes, 1)]
    return "\n\n".join(parts)


def verification_text(document: Document) -> str:
    """What was walked, and each place that does not hold."""
    walked = f"{document['records']} records ({document['checkpoints']} checkpoints) in {document['chains']} chains"
    if document["removed_by_retention"]:
        walked += f", {document['removed_by_retention']} older ones let go of by retention"
    if document["intact"]:
        return f"Intact: {walked}. Nothing was changed, removed, reordered or put in."
    lines = [f"Tampered: {walked}."]
    for finding in document["findings"]:
        last = finding["last_position"]
        place = f"{finding['position']}" if last == finding["position"] else f"{finding['position']} to {last}"
        request = f", request {finding['request_id']}" if finding["request_id"] else ""
        lines.append(f"  chain {finding['chain_id']}, record {place}{request}: {finding['meaning']}")
    if document["more_findings"]:
        lines.append(f"  and {document['more_findings']} more")
    return "\n".join(lines)


def export_text(document: Document) -> str:
    """What was exported, and how it is checked."""
    check = f"omnilab audit verify-export {document['file']} --public-key {document['public_key']}"
    return f"{verification_text(document)}\nWritten to {document['file']}. Check it anywhere with\n  {check}"


def examination_text(document: Document) -> str:
    """Whether an export is as it was written, and whether the chains held when it was."""
    about = f"{document['records']} records in {document['chains']} chains of {document['issuer']}"
    about += f" ({document['environment']}), exported at {document['exported_at']}"
    lines = [f"Intact: {about}. The file is as it was written."] if document["intact"] else [f"Not intact: {about}."]
    for fault in document["faults"]:
        first, last = fault["first_line"], fault["last_line"]
        place = f"line {first}" if first == last else f"lines {first} to {last}"
        chain = f" (chain {fault['chain_id']}, about record {fault['position']})" if fault["chain_id"] else ""
        lines.append(f"  {place}{chain}: {fault['meaning']}")
    if document["more_faults"]:
        lines.append(f"  and {document['more_faults']} more")
    if document["file_intact"] and not document["chains_intact"]:
        lines.append("The file is as it was written, but the chains did not hold when it was:")
        lines += [
            f"  chain {each['chain_id']}, record {each['position']}: {each['meaning']}" for each in document["findings"]
        ]
    return "\n".join(lines)


def _decision(record: Document) -> str:
    lines = [f"Request {record['request_id']}"]
    lines += [f"  {label:<16} {record[name]}" for label, name in _FACTS if record[name] is not None]
    lines += [f"  {name.replace('_', ' ').capitalize():<16} {value}" for name, value in record["details"].items()]
    if record["actor"] is not None:
        lines.append(f"  {'Made by':<16} {_actor(record['actor'])}")
    lines.append(f"  {'Outcome':<16} {_outcome(record)}")
    if record["checks"]:
        lines += ["", "Checks", *(_check(check) for check in record["checks"])]
    if record["fix"]:
        lines += ["", "What to do", f"  {record['fix']}"]
    return "\n".join(lines)


def _outcome(record: Document) -> str:
    if record["outcome"] == "granted":
        return "granted"
    reason = f" ({record['reason']})" if record["reason"] not in (None, record["code"]) else ""
    return f"refused: {record['code']}{reason}"


def _actor(actor: Document) -> str:
    who = f"{actor['os_user']} on {actor['host']}"
    operator = f", operator {actor['operator']}" if actor["operator"] else ""
    return who + operator + (f", ticket {actor['ticket']}" if actor["ticket"] else "")


def _check(check: Document) -> str:
    name = check["name"].replace("_", " ")
    if check["passed"]:
        return f"  passed  {name:<24} {check['expected']}"
    return f"  FAILED  {name:<24} expected: {check['expected']}\n  {'':<32} came: {check['found']}"


def _cause(number: int, cause: Document) -> str:
    client = cause["client_id"] or "no known client"
    proved = "" if cause["proved"] else ", claimed and not proved"
    refusals = "1 refusal" if cause["count"] == 1 else f"{cause['count']} refusals"
    lines = [
        f"{number}. {cause['title']} ({cause['code']}): {refusals}",
        f"   Client     {client}{proved}",
        f"   Endpoint   {cause['endpoint']}",
        f"   First      {cause['first']}",
        f"   Last       {cause['last']} (request {cause['request_id']})",
        f"   Addresses  {', '.join(cause['addresses']) or 'none'}",
    ]
    if cause["check"]:
        expected = f"; expected: {cause['expected']}" if cause["expected"] else ""
        found = f"; came: {cause['found']}" if cause["found"] else ""
        lines.append(f"   Failed     {cause['check'].replace('_', ' ')}{expected}{found}")
    lines += [
        f"   Fix        {cause['fix']}",
        "   Reply",
        "",
        indent(cause["reply"].rstrip(), "     | ", lambda _: True),
    ]
    return "\n".join(lines)
