//! Words for people: counts, names of messages, lines of a bounded length.

use vhost_fuzz_core::vhost_user::{Channel, Direction, Kind, request};
use vhost_fuzz_harness::script::FdKind;

/// Longest line that describes a message.
const LINE_LIMIT: usize = 160;

/// `1 request`, `2 requests`.
pub(super) fn count(count: usize, word: &str) -> String {
    plural(count, word, &format!("{word}s"))
}

/// `1 reply`, `2 replies`.
pub(super) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The text, cut after a word when it is longer than a line.
pub(super) fn line(text: &str) -> String {
    if text.chars().count() <= LINE_LIMIT {
        return text.to_owned();
    }
    let cut: String = text.chars().take(LINE_LIMIT).collect();
    let end = cut.rfind(' ').unwrap_or(cut.len());
    format!("{} …", &cut[..end])
}

/// `SET_VRING_NUM reply`, `request 46`, `a cut header`.
pub(super) fn name(kind: Kind, code: Option<u32>) -> String {
    let Some(code) = code else { return "a cut header".to_owned() };
    let name = match request::row(kind.channel, code) {
        Some(row) => row.name.to_owned(),
        None => format!("request {code}"),
    };
    match kind.direction {
        Direction::Request => name,
        Direction::Reply => format!("{name} reply"),
    }
}

/// What travels on a stream of this kind.
pub(super) fn kind(kind: Kind) -> &'static str {
    match (kind.channel, kind.direction) {
        (Channel::Main, Direction::Request) => "front-end requests",
        (Channel::Main, Direction::Reply) => "back-end replies",
        (Channel::Backend, Direction::Request) => "back-end requests",
        (Channel::Backend, Direction::Reply) => "front-end replies",
    }
}

/// What stands behind a descriptor.
pub(super) fn fd(kind: FdKind) -> String {
    match kind {
        FdKind::EVENTFD => "eventfd".to_owned(),
        FdKind::MEMFD => "memfd".to_owned(),
        FdKind::SOCKET => "socket".to_owned(),
        FdKind::PIPE => "pipe".to_owned(),
        FdKind::USERFAULTFD => "userfaultfd".to_owned(),
        FdKind::OTHER => "something unexpected".to_owned(),
        FdKind(number) => format!("unknown kind {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_plural() {
        assert_eq!(count(0, "byte"), "0 bytes");
        assert_eq!(count(1, "byte"), "1 byte");
        assert_eq!(plural(2, "reply", "replies"), "2 replies");
    }

    #[test]
    fn a_long_line_is_cut_after_a_word() {
        assert_eq!(line("short"), "short");
        let long = "word ".repeat(40);
        let cut = line(&long);
        assert!(cut.ends_with("word …") && cut.chars().count() <= LINE_LIMIT + 2, "{cut}");
    }

    #[test]
    fn names_follow_the_channel() {
        assert_eq!(name(Kind::BACKEND_REPLY, Some(1)), "GET_FEATURES reply");
        assert_eq!(name(Kind::BACKEND_REQUEST, Some(1)), "IOTLB_MSG");
        assert_eq!(name(Kind::FRONTEND_REQUEST, Some(46)), "request 46");
        assert_eq!(name(Kind::FRONTEND_REQUEST, None), "a cut header");
    }
}
