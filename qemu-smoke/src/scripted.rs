//! A back-end that answers as a script says: the peer of our front-ends.

use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::io::Errno;
use vhost_fuzz_backend::socket::{ReceiveError, Receiver, send};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::Config;
use vhost_fuzz_core::vhost_user::{
    Channel, DEFAULT_PAYLOAD_LIMIT, FrontendRequest as R, HEADER_LEN, Kind, Layout, Message,
    Payload,
};

use crate::front::encode;

/// How often it looks whether it is over.
const PAUSE: Duration = Duration::from_millis(20);

/// What is wrong with one of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It answers another request.
    Id,
    /// It is of version 2.
    Version,
    /// It does not say that it is an answer.
    NoReplyFlag,
    /// It lacks its last byte, and says so.
    Short,
    /// It has eight bytes more, and says so.
    Long,
    /// It says that it has 2^31 bytes.
    Huge,
    /// It has a descriptor.
    Descriptor,
    /// The connection ends in the middle of its header.
    CutHeader,
    /// The connection ends in the middle of its payload.
    CutPayload,
    /// The connection ends in its place.
    Closed,
    /// It does not come.
    Silence,
}

/// What it says.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) features: u64,
    pub(crate) protocol: u64,
    pub(crate) queues: u64,
    pub(crate) mem_slots: u64,
    pub(crate) config: Vec<u8>,
    /// The answer to this request is wrong.
    pub(crate) wrong: Option<(R, Wrong)>,
    /// This request is refused.
    pub(crate) refuses: Option<R>,
    /// Answers come byte by byte, which is right.
    pub(crate) is_slow: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            features: virtio::VERSION_1 | virtio::PROTOCOL_FEATURES | virtio::EVENT_IDX,
            protocol: protocol::MQ
                | protocol::REPLY_ACK
                | protocol::CONFIG
                | protocol::CONFIGURE_MEM_SLOTS
                | protocol::STATUS,
            queues: 3,
            mem_slots: 77,
            config: (1..=60).collect(),
            wrong: None,
            refuses: None,
            is_slow: false,
        }
    }
}

/// A scripted back-end in a thread, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Scripted {
    path: PathBuf,
    is_over: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Listens at a path.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) fn start(path: &Path, script: Script) -> Result<Self> {
        let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
        listener.set_nonblocking(true)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let peer = Peer { script, is_over: Arc::clone(&is_over), heard: Arc::clone(&heard) };
        let thread = thread::Builder::new().name("scripted".to_owned());
        let thread = thread.spawn(move || peer.serve(&listener))?;
        Ok(Self { path: path.to_owned(), is_over, heard, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it was asked, in words.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic of it shows in what the front-end was answered.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Peer {
    script: Script,
    is_over: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn hear(&self, words: String) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(words);
    }

    /// Serves one front-end after another.
    fn serve(&self, listener: &UnixListener) {
        while !self.is_over() {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.connection(&stream) {
                        self.hear(format!("{error:#}"));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return self.hear(error.to_string()),
            }
        }
    }

    /// Serves a front-end until it is gone.
    fn connection(&self, stream: &UnixStream) -> Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PAUSE))?;
        let mut receiver = Receiver::new(Kind::FRONTEND_REQUEST, DEFAULT_PAYLOAD_LIMIT);
        let (mut has_acks, mut status) = (false, 0);
        while !self.is_over() {
            let frame = match receiver.receive(stream.as_fd()) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(ReceiveError::System(Errno::AGAIN)) => continue,
                Err(error) => return Err(anyhow!("{error}")),
            };
            let message = frame.decode(Layout::default()).map_err(|error| anyhow!("{error}"))?;
            self.hear(message.to_string());
            let request = R(message.code);
            let refuses = self.script.refuses == Some(request);
            match (request, message.payload) {
                (R::SET_PROTOCOL_FEATURES, Payload::U64(bits)) => {
                    has_acks = bits & protocol::REPLY_ACK != 0;
                }
                (R::SET_STATUS, Payload::U64(set)) => status = set,
                _ => {}
            }
            let window = self.window(&message);
            let answer = match (request, &window) {
                (R::GET_FEATURES, _) => Some(Payload::U64(self.script.features)),
                (R::GET_PROTOCOL_FEATURES, _) => Some(Payload::U64(self.script.protocol)),
                (R::GET_QUEUE_NUM, _) => Some(Payload::U64(self.script.queues)),
                (R::GET_MAX_MEM_SLOTS, _) => Some(Payload::U64(self.script.mem_slots)),
                (R::GET_STATUS, _) => Some(Payload::U64(status)),
                // A size of 0 is how a back-end refuses.
                (R::GET_CONFIG, Some(config)) => Some(Payload::Config(*config)),
                _ if has_acks && message.flags.needs_reply() => {
                    Some(Payload::U64(u64::from(refuses)))
                }
                _ => None,
            };
            let Some(payload) = answer else { continue };
            let bytes = encode(&Message::reply(Channel::Main, message.code, payload))?;
            if !self.answer(stream, request, bytes)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is handed out of the configuration space: nothing of a window that goes past its end.
    fn window(&self, message: &Message<'_>) -> Option<Config<'_>> {
        let Payload::Config(Config { offset, size, flags, .. }) = message.payload else {
            return None;
        };
        let (start, len) = (usize::try_from(offset).ok()?, usize::try_from(size).ok()?);
        let data = self.script.config.get(start..start.checked_add(len)?);
        let size = if data.is_some() { size } else { 0 };
        Some(Config { offset, size, flags, payload: data.unwrap_or_default() })
    }

    /// Sends an answer, or what the script has in its place. Says whether the connection goes on.
    fn answer(&self, stream: &UnixStream, request: R, mut bytes: Vec<u8>) -> Result<bool> {
        let wrong = self.script.wrong.filter(|(wrong, _)| *wrong == request);
        let word = |bytes: &mut [u8], at: usize, value: u32| {
            if let Some(word) = bytes.get_mut(at..at + 4) {
                word.copy_from_slice(&value.to_ne_bytes());
            }
        };
        let len = u32::try_from(bytes.len() - HEADER_LEN)?;
        let null = std::fs::File::open("/dev/null")?;
        let mut fds = Vec::new();
        let mut goes_on = true;
        match wrong.map(|(_, wrong)| wrong) {
            None => {}
            Some(Wrong::Id) => word(&mut bytes, 0, request.0 + 1),
            Some(Wrong::Version) => word(&mut bytes, 4, 0x6),
            Some(Wrong::NoReplyFlag) => word(&mut bytes, 4, 0x1),
            Some(Wrong::Short) => {
                bytes.pop();
                word(&mut bytes, 8, len - 1);
            }
            Some(Wrong::Long) => {
                bytes.extend([0; 8]);
                word(&mut bytes, 8, len + 8);
            }
            Some(Wrong::Huge) => word(&mut bytes, 8, 1 << 31),
            Some(Wrong::Descriptor) => fds.push(null.as_fd()),
            Some(Wrong::CutHeader) => {
                bytes.truncate(HEADER_LEN / 2);
                goes_on = false;
            }
            Some(Wrong::CutPayload) => {
                bytes.truncate(HEADER_LEN + 4);
                goes_on = false;
            }
            Some(Wrong::Closed) => return Ok(false),
            Some(Wrong::Silence) => return Ok(true),
        }
        let piece = if self.script.is_slow { 1 } else { bytes.len() };
        for piece in bytes.chunks(piece) {
            // A front-end that has seen enough is gone.
            send(stream.as_fd(), piece, &fds).context("the front-end is gone")?;
            fds.clear();
        }
        Ok(goes_on)
    }
}
