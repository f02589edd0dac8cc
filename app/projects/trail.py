"""The audit trail in words. Events are stored as names and values, so that everybody reads them in their language."""

from typing import Any

from app.language import N_, _, decimal
from app.models import AuditEvent

EVENTS = {
    "adaptation.begun": N_("Validation cells of a scanner set aside"),
    "adaptation.comparison_started": N_("Comparison for a scanner started"),
    "adaptation.decided": N_("Candidate for a scanner decided on"),
    "alarm.raised": N_("Alarm: a scanner left its limits"),
    "alarm.settled": N_("Alarm settled"),
    "classifier.activated": N_("Classifier activated"),
    "classifier.kept": N_("Version kept as a candidate"),
    "class.added": N_("Class added"),
    "class.changed": N_("Class changed"),
    "class.deleted": N_("Class deleted"),
    "class.moved": N_("Class moved"),
    "control.begun": N_("Control slide scanned again"),
    "demo.seeded": N_("Demo cells made"),
    "job.retried": N_("Job started again"),
    "mapping.saved": N_("Mapping of classes saved"),
    "member.added": N_("Member added"),
    "member.removed": N_("Member removed"),
    "pack.imported": N_("Lab pack taken in"),
    "pack.made": N_("Lab pack made"),
    "pretraining.begun": N_("Training of an encoder begun"),
    "pretraining.cancelled": N_("Training of an encoder cancelled"),
    "pretraining.done": N_("Encoder trained"),
    "pretraining.paused": N_("Training of an encoder paused"),
    "pretraining.resumed": N_("Training of an encoder resumed"),
    "project.created": N_("Project created"),
    "project.encoder_switch_started": N_("Move to another encoder begun"),
    "project.encoder_switched": N_("Moved to another encoder"),
    "project.privacy_changed": N_("What is kept changed"),
    "project.renamed": N_("Project renamed"),
    "quality.changed": N_("Checks of quality changed"),
    "report.amended": N_("Report amended"),
    "report.classified": N_("Slide classified"),
    "report.classified_again": N_("Slide to be classified again"),
    "report.signed": N_("Report signed"),
    "reporting.changed": N_("Reporting changed"),
    "scanner.added": N_("Scanner added"),
    "scanner.changed": N_("Scanner changed"),
    "slide.created": N_("Slide created"),
    "slide.originals_deleted": N_("Originals deleted, their time was over"),
    "watching.begun": N_("New reference for watching a scanner"),
    "webhook.added": N_("Webhook added"),
    "webhook.changed": N_("Webhook changed"),
    "webhook.deleted": N_("Webhook deleted"),
    "webhook.secret_changed": N_("Secret of a webhook changed"),
    "webhook.switched_off": N_("Webhook switched off, its receiver was down"),
}
FIELDS = {
    "received": N_("received files"),
    "shared": N_("files that others need and that stay"),
    "unopened": N_("files never opened"),
    "pictures": N_("pictures of cells"),
    "fields": N_("fields"),
    "accession": N_("accession"),
    "audit_share": N_("audited share"),
    "cells": N_("cells of a differential"),
    "classes": N_("classes"),
    "classifier": N_("classifier"),
    "code": N_("code"),
    "color": N_("colour"),
    "email": N_("e-mail"),
    "active": N_("on"),
    "events": N_("events"),
    "url": N_("address"),
    "encoder": N_("encoder"),
    "epochs": N_("epochs"),
    "job": N_("job"),
    "keep_received": N_("received files kept"),
    "key": N_("key"),
    "left_out": N_("not in the 100 %%"),
    "name": N_("name"),
    "parent": N_("parent"),
    "person": N_("person"),
    "position": N_("position"),
    "preliminary": N_("preliminary"),
    "ranges": N_("reference ranges"),
    "readers": N_("readers"),
    "reason": N_("reason"),
    "reject_below": N_("unclassified below a probability of"),
    "rules": N_("rules"),
    "pseudonyms": N_("pseudonyms"),
    "retention_cells": N_("pictures of cells stay"),
    "retention_days": N_("days until originals are deleted"),
    "scanner": N_("scanner"),
    "second_share": N_("share read again"),
    "second_signature": N_("second signature"),
    "signer": N_("signed by"),
    "version": N_("version"),
    "um_per_px": N_("µm per pixel"),
    "within": N_("wanted precision"),
}


def title(event: AuditEvent) -> str:
    """Say what happened; an event without words of its own is named as it is stored."""
    return _(EVENTS[event.what]) if event.what in EVENTS else _plain(event.what).capitalize()


def details(event: AuditEvent) -> list[str]:
    """Say what an event holds, one line a field; changes show the old and the new value."""
    detail = dict(event.detail)
    changes = detail.pop("changes", {})
    lines = [f"{_field(name)}: {_words(value)}" for name, value in detail.items()]
    return lines + [f"{_field(name)}: {_words(old)} → {_words(new)}" for name, (old, new) in changes.items()]


def _plain(name: str) -> str:
    return name.replace(".", " ").replace("_", " ")


def _field(name: str) -> str:
    return _(FIELDS[name]) if name in FIELDS else _plain(name)


def _words(value: Any) -> str:
    if value is None or value == "":
        return _("none")
    if isinstance(value, float):
        return decimal(value)
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
