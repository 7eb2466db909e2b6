//! Reads a log of strace: which bytes and how many descriptors went over which descriptor.
//!
//! What counts is the log of `strace -f -x -s 65536 -e trace=network,read,write,close`; lines of
//! other calls, of signals and of exits are passed over. A call that another thread interrupts
//! (`<unfinished ...>`) takes place where it is resumed.

mod syntax;

use std::collections::HashMap;
use std::fmt;

use syntax::Value;
use vhost_fuzz_harness::recording::{Act, Call};

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// Line of the log, from 1.
    pub(super) line: usize,
    what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The successful calls of a log that moved bytes or closed a descriptor, in order.
pub(super) fn parse(log: &str) -> Result<Vec<Call>, Error> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<u32, String> = HashMap::new();
    for (line, text) in (1..).zip(log.lines()) {
        let whole = whole_call(text, &mut unfinished).map_err(|what| Error { line, what })?;
        if let Some(whole) = whole
            && let Some(call) = call(line, &whole).map_err(|what| Error { line, what })?
        {
            calls.push(call);
        }
    }
    Ok(calls)
}

/// Marks of a call that goes on in a later line, and of one that never returns.
const UNFINISHED: &str = "<unfinished ...>";
const NEVER_FINISHED: [&str; 2] = ["<unfinished ...>) = ?", "<detached ...>"];

/// The text of a call that ends in this line, if one does.
fn whole_call(text: &str, unfinished: &mut HashMap<u32, String>) -> Result<Option<String>, String> {
    let (pid, text) = split_prefix(text);
    if text.is_empty() || ["+++ ", "--- ", "strace: "].iter().any(|mark| text.starts_with(mark)) {
        return Ok(None);
    }
    let whole = match text.strip_prefix("<... ") {
        Some(rest) => {
            let (name, rest) = rest.split_once(" resumed>").ok_or("`<...` without `resumed>`")?;
            let start = unfinished
                .remove(&pid)
                .ok_or_else(|| format!("{name} is resumed, but no line begins it"))?;
            if !start.starts_with(&format!("{name}(")) {
                return Err(format!("{name} is resumed, but `{start}` was begun"));
            }
            start + rest
        }
        None => text.to_owned(),
    };
    if NEVER_FINISHED.iter().any(|mark| whole.ends_with(mark)) {
        return Ok(None);
    }
    if let Some(start) = whole.strip_suffix(UNFINISHED) {
        unfinished.insert(pid, start.trim_end().to_owned());
        return Ok(None);
    }
    Ok(Some(whole))
}

/// Splits off the process id and the times that strace puts before a call. Without `-f` there is
/// no id; 0 stands for it.
fn split_prefix(text: &str) -> (u32, &str) {
    let mut text = text.trim();
    let mut pid = None;
    if let Some((id, rest)) = text.strip_prefix("[pid").and_then(|rest| rest.split_once(']')) {
        pid = id.trim().parse().ok();
        text = rest.trim_start();
    }
    while let Some((word, rest)) = text.split_once(' ')
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte))
    {
        pid = pid.or_else(|| word.parse().ok());
        text = rest.trim_start();
    }
    (pid.unwrap_or(0), text)
}

/// How the bytes of a call are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `(fd, {msg_iov=[…], msg_control=[…], msg_flags=…}, flags)`.
    Message,
    /// `(fd, "…", size, flags…)`.
    Buffer,
    /// `(fd, [{iov_base="…", iov_len=…}], …)`.
    Vector,
    /// Not read here.
    Other,
}

fn known(name: &str) -> Option<(Act, Form)> {
    Some(match name {
        "sendmsg" => (Act::Send, Form::Message),
        "recvmsg" => (Act::Receive, Form::Message),
        "send" | "sendto" | "write" => (Act::Send, Form::Buffer),
        "recv" | "recvfrom" | "read" => (Act::Receive, Form::Buffer),
        "writev" => (Act::Send, Form::Vector),
        "readv" => (Act::Receive, Form::Vector),
        "close" => (Act::Close, Form::Other),
        "sendmmsg" | "recvmmsg" | "sendfile" | "splice" => (Act::Unread, Form::Other),
        _ => return None,
    })
}

/// Reads one call. `Ok(None)`: it failed, took nothing from the socket, or is of no interest.
fn call(line: usize, text: &str) -> Result<Option<Call>, String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let (name, rest) = text
        .split_once('(')
        .filter(|(name, _)| is_name(name))
        .ok_or("expected a line of strace, `PID call(arguments) = result`")?;
    let Some((act, form)) = known(name) else { return Ok(None) };
    let (arguments, rest) = syntax::arguments(rest)?;
    let Some(len) = result(name, rest)? else { return Ok(None) };
    let missing = |what: &str| format!("{name} without {what}");
    let fd = arguments.first().and_then(Value::number).ok_or_else(|| missing("a descriptor"))?;
    let mut call = Call { line, fd, act, bytes: Vec::new(), len, fds: 0, control_truncated: false };
    let flags_at = match form {
        Form::Other => return Ok(Some(call)),
        Form::Message => 2,
        Form::Buffer | Form::Vector => 3,
    };
    if arguments.get(flags_at).is_some_and(|flags| flags.has_flag("MSG_PEEK")) {
        return Ok(None); // the bytes stay in the socket and come again
    }
    let data = arguments.get(1).ok_or_else(|| missing("its data"))?;
    call.bytes = match form {
        Form::Message => gather(data.get("msg_iov").ok_or_else(|| missing("msg_iov"))?)?,
        Form::Vector => gather(data)?,
        Form::Buffer | Form::Other => text_of(data).ok_or_else(|| missing("a string"))?.to_vec(),
    };
    // The vectors are as long as the buffers; only `len` bytes went over the socket.
    call.bytes.truncate(len);
    if form == Form::Message {
        call.fds = rights(data);
        call.control_truncated = act == Act::Receive
            && data.get("msg_flags").is_some_and(|flags| flags.has_flag("MSG_CTRUNC"));
    }
    match (act, len) {
        (Act::Send, 0) => Ok(None), // descriptors of an empty message are not delivered
        (Act::Receive, 0) => Ok(Some(Call { act: Act::End, ..call })),
        _ => Ok(Some(call)),
    }
}

/// The value that a call returned; `None` when it failed or did not return.
fn result(name: &str, text: &str) -> Result<Option<usize>, String> {
    let value = text
        .trim_start()
        .strip_prefix('=')
        .and_then(|text| text.split_whitespace().next())
        .ok_or_else(|| format!("{name} without `= result`"))?;
    if value == "?" || value.starts_with("-1") {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| format!("{name} returned `{value}`, expected a number"))
}

fn text_of(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(bytes) => Some(bytes),
        _ => None,
    }
}

/// The bytes of all entries of an iovec.
fn gather(vectors: &Value) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for vector in vectors.elements() {
        let base = vector.get("iov_base").ok_or("an iovec without iov_base")?;
        // An entry that was not reached is printed as an address.
        bytes.extend(text_of(base).unwrap_or_default());
    }
    Ok(bytes)
}

/// How many descriptors the control messages carry. A header without data carries none.
fn rights(message: &Value) -> usize {
    let control = message.get("msg_control").map(Value::elements).unwrap_or_default();
    control
        .iter()
        .filter(|one| one.get("cmsg_type").and_then(Value::word) == Some("SCM_RIGHTS"))
        .filter_map(|one| one.get("cmsg_data"))
        .map(|data| data.elements().len())
        .sum()
}

#[cfg(test)]
mod tests;
