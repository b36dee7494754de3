//! A channel with a digest: one mail at its time, with what began, lasts and ended.

use chrono::{NaiveTime, TimeDelta};
use sexton::{
    clock::machine_time,
    domain::{
        notice::{Digest, channel::Channel},
        problem::Sighting,
    },
    store::ProblemChange,
};
use sexton_entities::states::{NoticeState, ProblemKind};

use super::{ago, by_mail, node, notices, rounds, run, until};
use crate::support::{MailServer, on_each_database};

/// A digest whose last instant was twelve hours ago.
fn twelve_hours_ago(server: &MailServer) -> Channel {
    let at = (machine_time() + TimeDelta::hours(12)).time();
    let at = NaiveTime::parse_from_str(&at.format("%H:%M").to_string(), "%H:%M").unwrap();
    Channel { digest: Some(Digest::Daily(at)), ..by_mail(server, 20) }
}

fn sighting(name: &str) -> Sighting {
    Sighting::now(ProblemKind::Module, format!("here/{name}"), "the module failed")
}

on_each_database! {
    async fn a_digest_tells_once_what_began_lasts_and_ended(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let one = node(&database, "one", twelve_hours_ago(&server));
        store.note_problems(&[sighting("first"), sighting("second"), sighting("third")]).await.unwrap();
        until(&[&one], "all are gathered", async || notices(&store).await.len() == 3).await;
        rounds(&[&one]).await;
        assert!(notices(&store).await.iter().all(|row| row.state == NoticeState::Held && row.attempts == 0));
        let third = notices(&store).await[0].problem_id.unwrap();
        assert!(store.change_problem(third, ProblemChange::Close).await.unwrap());
        // All that was yesterday; the fourth one is for the next digest.
        let yesterday = ago(database.kind, 72_000);
        run(&store, &format!("UPDATE sexton_notice SET created_at = {yesterday}")).await;
        store.note_problems(&[sighting("fourth")]).await.unwrap();
        until(&[&one], "it is gathered", async || notices(&store).await.len() == 4).await;
        // Nodes that have not looked at this instant.
        let others = [node(&database, "two", twelve_hours_ago(&server)), node(&database, "three", twelve_hours_ago(&server))];
        let nodes = [&one, &others[0], &others[1]];
        until(&nodes, "the digest came", async || !server.mails().is_empty()).await;
        rounds(&nodes).await;
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "{mails:#?}");
        assert_eq!((mails[0].header("Subject"), mails[0].header("X-Sexton-About")), ("[sexton] DIGEST: 2 new, 1 over".to_owned(), "digest".to_owned()));
        for kind in ["text/plain", "text/html"] {
            let part = mails[0].part(kind);
            for (text, is_there) in [("here/first", true), ("here/second", true), ("here/third", true), ("here/fourth", false)] {
                assert_eq!(part.contains(text), is_there, "{text}: {part}");
            }
        }
        assert!(mails[0].part("text/plain").lines().all(|line| line.chars().count() <= 72));
        let held = notices(&store).await.into_iter().filter(|row| row.state == NoticeState::Held).count();
        assert_eq!(held, 1, "the fourth one waits");
        for other in others {
            assert_eq!(other.stop(), 0);
        }
        // The next day, as far as a fresh node can tell.
        run(&store, "DELETE FROM sexton_notice WHERE state <> 'held'").await;
        let known = "name IN ('here/first', 'here/second')";
        run(&store, &format!("UPDATE sexton_problem SET noticed_at = {yesterday} WHERE {known}")).await;
        let next = node(&database, "next", twelve_hours_ago(&server));
        until(&[&next], "the next digest came", async || server.mails().len() == 2).await;
        let last = server.mails().remove(1);
        assert_eq!(last.header("Subject"), "[sexton] DIGEST: 2 still open");
        assert!(!last.text.contains("here/third") && !last.text.contains("here/fourth"), "{}", last.text);
        assert_eq!((one.stop(), next.stop()), (0, 0));
    }
}
