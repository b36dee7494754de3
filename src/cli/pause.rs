//! `sexton pause` and `sexton resume`: of everything, in the whole cluster; and what is said of a pause.

use serde_json::{Value, json};
use sexton_entities::history;

use super::{
    control,
    output::Printer,
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    domain::task::waiting::WaitCause,
    store::{Maintenance, PauseDetails, Wakeup},
};

/// Pauses everything: no node claims a task, and no schedule fires.
pub(super) async fn pause(session: &Session, output: Printer, reason: &ReasonArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    open.because(reason).pause_all(true).await.map_err(with_advice)?;
    let details = open.store.all_paused().await.map_err(with_advice)?.unwrap_or_default();
    let note = "no node claims a task, and no schedule fires, until `sexton resume`; running tasks continue";
    let object = object(&json!({ "everything": true }), true, &details);
    let sentence = format!("everything is {}", state(output, true, &details));
    output.report_lines(&[sentence.as_str(), note], &object)?;
    Ok(0)
}

/// Resumes everything, and the daemon on this host if it is quiet.
pub(super) async fn resume(session: &Session, output: Printer, reason: &ReasonArgs) -> anyhow::Result<u8> {
    // Quiet mode ends also while the database is away.
    let answer: anyhow::Result<Option<Value>> = control::deed_if_running(session, "/resume", reason).await;
    let resumed = resume_all(session, reason).await;
    let is_resumed = matches!(answer, Ok(Some(_)));
    let (before, changed) = match resumed {
        Ok(resumed) => resumed,
        Err(error) if is_resumed => {
            anyhow::bail!(
                "the daemon on this host claims again, but whether everything is paused is not known: {error:#}"
            )
        }
        Err(error) => return Err(error),
    };
    let sentence = match (changed, is_resumed) {
        (true, _) => format!("everything is resumed; it was {}", state(output, true, &before)),
        (false, true) => "claiming is resumed".to_owned(),
        (false, false) => {
            answer?;
            "nothing was paused".to_owned()
        }
    };
    let sentence = match session.open().await?.store.halt().await.map_err(with_advice)?.maintenance {
        Some(_) => format!("{sentence}; a maintenance is on (`sexton maintenance off`)"),
        None => sentence,
    };
    output.report(&sentence, &json!({ "everything": changed, "node": is_resumed }))?;
    Ok(0)
}

async fn resume_all(session: &Session, reason: &ReasonArgs) -> anyhow::Result<(PauseDetails, bool)> {
    let open: OpenSession = session.open().await?;
    let before = open.store.all_paused().await.map_err(with_advice)?;
    let changed = open.because(reason).pause_all(false).await.map_err(with_advice)?;
    if changed {
        open.client.wake_up_now(Wakeup::Anything).await?;
    }
    Ok((before.unwrap_or_default(), changed))
}

/// Why a task of this queue is held back: everything is paused, or the queue is. With the sentence for people.
pub(super) async fn why_held(
    open: &OpenSession,
    output: Printer,
    queue: Option<&str>,
) -> anyhow::Result<Option<(WaitCause, String)>> {
    let halt = open.store.halt().await.map_err(with_advice)?;
    if let Some(known) = halt.maintenance {
        let sentence = format!("it waits: maintenance is {}", maintained(output, &known));
        return Ok(Some((WaitCause::Maintenance, sentence)));
    }
    if let Some(details) = halt.pause {
        let sentence = format!("it waits: everything is {}", state(output, true, &details));
        return Ok(Some((WaitCause::EverythingPaused, sentence)));
    }
    let queues = open.store.queues(&[]).await.map_err(with_advice)?;
    let own = queues.into_iter().find(|known| known.paused && Some(&*known.name) == queue);
    Ok(own.map(|queue| {
        let sentence = format!("it waits: queue {} is {}", queue.name, state(output, true, &queue.pause));
        (WaitCause::Paused(queue.name.to_string()), sentence)
    }))
}

/// Reports that something is paused or resumed.
pub(super) fn report(
    output: Printer,
    what: &str,
    paused: bool,
    details: &PauseDetails,
    named: &Value,
) -> anyhow::Result<u8> {
    output.report(&format!("{what} is {}", state(output, paused, details)), &object(named, paused, details))?;
    Ok(0)
}

/// The fields of `named`, and of the pause.
fn object(named: &Value, paused: bool, details: &PauseDetails) -> Value {
    let mut object = named.clone();
    object["paused"] = paused.into();
    if let (Value::Object(fields), Value::Object(details)) = (&mut object, json!(details)) {
        fields.extend(details);
    }
    object
}

/// `active`, or `paused` with what is known of the pause.
pub(super) fn state(output: Printer, paused: bool, details: &PauseDetails) -> String {
    if !paused {
        return "active".to_owned();
    }
    let since = details.paused_at.map(|at| format!(" since {}", output.time(at))).unwrap_or_default();
    let by = who(details.paused_by.as_deref(), details.paused_host.as_deref());
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = details.pause_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let until = details.paused_until.map(|at| format!(" until {}", output.time(at))).unwrap_or_default();
    format!("paused{since}{until}{by}{reason}")
}

/// `on since … until … by …: REASON`, as far as it is known.
pub(super) fn maintained(output: Printer, maintenance: &Maintenance) -> String {
    let since = maintenance.began_at.map(|at| format!(" since {}", output.time(at))).unwrap_or_default();
    let until = maintenance.ends_at.map(|at| format!(" until {}", output.time(at))).unwrap_or_default();
    let by = who(maintenance.login.as_deref(), maintenance.host.as_deref());
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = maintenance.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("on{since}{until}{by}{reason}")
}

/// `cancelled by alice@shop01: REASON`, if it is known who cancelled a task.
pub(super) fn cancelled_by(row: &history::Model) -> Option<String> {
    let by = who(row.cancelled_by.as_deref(), row.cancelled_host.as_deref())?;
    let reason = row.cancel_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(format!("cancelled by {by}{reason}"))
}

/// `alice@shop01`, as far as it is known.
pub(super) fn who(person: Option<&str>, host: Option<&str>) -> Option<String> {
    match (person, host) {
        (Some(person), Some(host)) => Some(format!("{person}@{host}")),
        (Some(person), None) => Some(person.to_owned()),
        (None, Some(host)) => Some(format!("somebody@{host}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    #[test]
    fn a_pause_is_described_as_far_as_it_is_known() {
        let output = Printer::new(false, Tz::UTC);
        let details = PauseDetails {
            paused_at: Some("2001-11-22T01:02:03Z".parse().expect("an instant")),
            paused_by: Some("alice".to_owned()),
            paused_host: Some("shop01".to_owned()),
            pause_reason: Some("the mail server is away".to_owned()),
            paused_until: None,
        };
        let expected = "paused since 2001-11-22 01:02:03Z by alice@shop01: the mail server is away";
        assert_eq!(state(output, true, &details), expected);
        let ends = PauseDetails { paused_until: details.paused_at, ..PauseDetails::default() };
        assert_eq!(state(output, true, &ends), "paused until 2001-11-22 01:02:03Z");
        assert_eq!(state(output, true, &PauseDetails::default()), "paused");
        assert_eq!(state(output, false, &details), "active");
    }
}
