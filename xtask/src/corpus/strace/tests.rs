//! Lines as strace prints them, and lines as it does not.

use super::*;

fn one(line: &str) -> Option<Call> {
    let mut calls = parse(line).expect("a log");
    assert!(calls.len() < 2, "{line}");
    calls.pop()
}

fn transfer(line: &str) -> (Act, i64, Vec<u8>, usize) {
    let call = one(line).expect("a call");
    assert_eq!(call.bytes.len(), call.len, "{line}");
    (call.act, call.fd, call.bytes, call.fds)
}

/// A `sendmsg` or `recvmsg` on descriptor 3, as strace prints it.
fn message(name: &str, vectors: &str, rest: &str, result: usize) -> String {
    format!(
        "1 {name}(3, {{msg_name=NULL, msg_namelen=0, msg_iov=[{vectors}], msg_iovlen=1, {rest}}}, \
         MSG_NOSIGNAL) = {result}"
    )
}

/// One entry of an iovec.
fn vector(text: &str, len: usize) -> String {
    format!("{{iov_base={text}, iov_len={len}}}")
}

#[test]
fn every_call_that_moves_bytes_is_read() {
    let sent = message("sendmsg", &vector(r#""\x01\x02""#, 2), "msg_flags=0", 2);
    let received = message("recvmsg", &vector(r#""\1""#, 12), "msg_flags=0", 1);
    for (line, expected) in [
        (sent.as_str(), (Act::Send, 3, vec![1, 2], 0)),
        (&received, (Act::Receive, 3, vec![1], 0)),
        (r#"recvfrom(17, "ab", 12, 0, NULL, NULL) = 2"#, (Act::Receive, 17, b"ab".to_vec(), 0)),
        (
            r#"[pid  12] read(3<socket:[77]>, "a", 1) = 1 <0.000010>"#,
            (Act::Receive, 3, b"a".to_vec(), 0),
        ),
        (r#"12 10:11:12.131415 write(3, "a", 1) = 1"#, (Act::Send, 3, b"a".to_vec(), 0)),
        (r#"12 sendto(3, "a", 1, MSG_NOSIGNAL, NULL, 0) = 1"#, (Act::Send, 3, b"a".to_vec(), 0)),
        (
            r#"12 writev(3, [{iov_base="a", iov_len=1}, {iov_base="b", iov_len=1}], 2) = 2"#,
            (Act::Send, 3, b"ab".to_vec(), 0),
        ),
        (
            r#"12 readv(3, [{iov_base="ab", iov_len=2}], 1) = 2"#,
            (Act::Receive, 3, b"ab".to_vec(), 0),
        ),
    ] {
        assert_eq!(transfer(line), expected, "{line}");
    }
}

#[test]
fn the_entries_of_an_iovec_are_joined_and_cut_to_what_was_moved() {
    let two = |name: &str, second: &str, result: usize| {
        let vectors = format!("{}, {}", vector(r#""ab""#, 2), vector(second, 256));
        transfer(&message(name, &vectors, "msg_flags=0", result)).2
    };
    assert_eq!(two("recvmsg", r#""cd""#, 4), b"abcd");
    assert_eq!(two("sendmsg", r#""cd""#, 3), b"abc");
    // An entry that was not reached is an address.
    assert_eq!(two("recvmsg", "0x7ff0", 2), b"ab");
}

#[test]
fn a_cut_string_shows_less_than_was_moved() {
    let call = one(r#"1 write(3, "ab"..., 60) = 60"#).expect("a call");
    assert_eq!((call.bytes.len(), call.len), (2, 60));
}

#[test]
fn descriptors_are_counted_over_all_control_messages() {
    let rights =
        |data: &str| format!("{{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS{data}}}");
    let credentials = "{cmsg_type=SCM_CREDENTIALS, cmsg_data={pid=1, uid=0, gid=0}}";
    let (one, two) = (rights(", cmsg_data=[11]"), rights(", cmsg_data=[11, 12<anon:[eventfd]>]"));
    for (control, fds) in [
        (String::new(), 0),
        (one.clone(), 1),
        (two.clone(), 2),
        (rights(""), 0),
        (format!("{one}, {credentials}, {two}"), 3),
    ] {
        let rest = format!("msg_control=[{control}], msg_controllen=24, msg_flags=0");
        let line = message("sendmsg", &vector(r#""a""#, 1), &rest, 1);
        assert_eq!(transfer(&line).3, fds, "{line}");
    }
}

#[test]
fn cut_control_data_is_noticed_where_it_is_received() {
    let is_cut = |name: &str| {
        let rest = "msg_controllen=0, msg_flags=MSG_CTRUNC|MSG_CMSG_CLOEXEC";
        let line = message(name, &vector(r#""a""#, 1), rest, 1);
        one(&line).expect("a call").control_truncated
    };
    assert!(is_cut("recvmsg"));
    assert!(!is_cut("sendmsg"));
}

#[test]
fn a_resumed_call_takes_place_where_it_returns() {
    let log = "\
1 recvmsg(9,  <unfinished ...>
2 write(9, \"b\", 1) = 1
2 read(4,  <unfinished ...>
1 <... recvmsg resumed>{msg_iov=[{iov_base=\"a\", iov_len=1}], msg_flags=0}, 0) = 1
2 <... read resumed> \"c\", 1) = 1
";
    let calls = parse(log).expect("a log");
    let seen: Vec<_> = calls.iter().map(|call| (call.line, call.fd, &call.bytes[..])).collect();
    assert_eq!(seen, [(2, 9, &b"b"[..]), (4, 9, b"a"), (5, 4, b"c")]);
}

#[test]
fn what_moves_nothing_is_passed_over() {
    for line in [
        "",
        "1 +++ exited with 0 +++",
        "2565  --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---",
        "strace: Process 7 attached",
        r#"1 execve("/bin/a(b", ["a"], 0x7f /* 9 vars */) = 0"#,
        "1 recvmsg(3, {msg_namelen=0}, MSG_CMSG_CLOEXEC) = ? ERESTARTSYS (To be restarted)",
        "1 recvfrom(17, 0x7fff, 128, MSG_PEEK|MSG_DONTWAIT, NULL, NULL) = -1 EAGAIN (Resource)",
        r#"1 recvfrom(17, "a", 128, MSG_PEEK, NULL, NULL) = 1"#,
        r#"1 recvmsg(3, {msg_iov=[{iov_base="a", iov_len=1}], msg_flags=MSG_PEEK}, MSG_PEEK) = 1"#,
        r#"1 sendmsg(3, {msg_iov=[{iov_base="", iov_len=0}], msg_flags=0}, 0) = 0"#,
        "1 read(3,  <unfinished ...>) = ?",
        "1 read(3, 0x7fff, 9) = -1 EINTR (Interrupted system call)",
        "1 close(3) = -1 EBADF (Bad file descriptor)",
    ] {
        assert_eq!(one(line), None, "{line}");
    }
}

#[test]
fn ends_are_seen() {
    for (line, act) in [
        (r#"1 recvmsg(3, {msg_iov=[{iov_base="", iov_len=12}], msg_flags=0}, 0) = 0"#, Act::End),
        (r#"1 read(3, "", 12) = 0"#, Act::End),
        ("1 close(3) = 0", Act::Close),
        ("1 sendmmsg(3, [{msg_hdr={}, msg_len=1}], 1, 0) = 1", Act::Unread),
    ] {
        assert_eq!(one(line).map(|call| (call.act, call.fd)), Some((act, 3)), "{line}");
    }
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    for (log, line, what) in [
        ("hello", 1, "expected a line of strace, `PID call(arguments) = result`"),
        ("1 close(3) = 0\n1 write(3, \"a", 2, "a string does not end"),
        ("1 write(3, \"a\", 1)", 1, "write without `= result`"),
        ("1 write(3, \"a\", 1) = one", 1, "write returned `one`, expected a number"),
        ("1 write(x, \"a\", 1) = 1", 1, "write without a descriptor"),
        ("1 write(3, 0x7f, 1) = 1", 1, "write without a string"),
        ("1 write(3) = 1", 1, "write without its data"),
        ("1 sendmsg(3, {msg_namelen=0}, 0) = 1", 1, "sendmsg without msg_iov"),
        ("1 sendmsg(3, {msg_iov=[{a=1}]}, 0) = 1", 1, "an iovec without iov_base"),
        ("\n1 <... read resumed>) = 1", 2, "read is resumed, but no line begins it"),
        (
            "1 read(3, <unfinished ...>\n1 <... recv resumed>) = 1",
            2,
            "recv is resumed, but `read(3,` was begun",
        ),
        ("1 <... read", 1, "`<...` without `resumed>`"),
    ] {
        let error = parse(log).expect_err(log);
        assert_eq!((error.line, error.to_string().as_str()), (line, what), "{log}");
    }
}
