//! A connection without rules: any bytes go out, whole messages come in.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::io::Errno;
use vhost_fuzz_backend::socket::{ReceiveError, Receiver, send};
use vhost_fuzz_core::vhost_user::{
    DEFAULT_PAYLOAD_LIMIT, FrontendRequest as R, Kind, Layout, Message, Payload,
};

/// How long the other end may take for a message.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Received {
    /// What it says.
    ///
    /// # Errors
    /// It is no legal reply.
    pub(crate) fn message(&self, layout: Layout) -> Result<Message<'_>> {
        let fds = self.fds.len();
        let message = Message::decode(Kind::BACKEND_REPLY, layout, &self.bytes, fds);
        message.map_err(|error| anyhow!("the reply is wrong: {error}"))
    }
}

/// The front-end's end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: UnixStream,
    receiver: Receiver,
    patience: Duration,
}

impl Wire {
    /// Connects to a back-end that listens.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        Self::connect_within(path, PATIENCE)
    }

    /// The same, with a back-end that may take so long for a message.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) fn connect_within(path: &Path, patience: Duration) -> Result<Self> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!("{}: there is no such socket", path.display()),
            ErrorKind::ConnectionRefused => anyhow!("nobody listens at {}", path.display()),
            _ => anyhow!("{}: {error}", path.display()),
        })?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let receiver = Receiver::new(Kind::BACKEND_REPLY, DEFAULT_PAYLOAD_LIMIT);
        Ok(Self { stream, receiver, patience })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The other end is gone, or does not read.
    pub(crate) fn bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        send(self.stream.as_fd(), bytes, fds).context("nothing can be sent")
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub(crate) fn message(&self, message: &Message<'_>, fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.bytes(&encode(message)?, fds)
    }

    /// Waits for a message; `None` when the other end has closed the connection.
    ///
    /// # Errors
    /// It says nothing in time, or something that is no reply.
    pub(crate) fn receive(&mut self) -> Result<Option<Received>> {
        match self.receiver.receive(self.stream.as_fd()) {
            Ok(frame) => Ok(frame.map(|frame| Received {
                bytes: frame.bytes.to_vec(),
                fds: frame.fds.into_iter().collect(),
            })),
            Err(ReceiveError::System(Errno::AGAIN)) => {
                bail!("there is no reply within {} s", self.patience.as_secs_f64())
            }
            Err(ReceiveError::System(Errno::CONNRESET)) => Ok(None),
            Err(ReceiveError::System(error)) => bail!("nothing can be received: {error}"),
            Err(ReceiveError::Frame(error)) => bail!("the reply is wrong: {error}"),
        }
    }

    /// Sends a request that is answered with a number, and gives that.
    ///
    /// # Errors
    /// There is no such answer.
    pub(crate) fn number(&mut self, message: &Message<'_>, fds: &[BorrowedFd<'_>]) -> Result<u64> {
        self.message(message, fds)?;
        self.hear_number(message.code)
    }

    /// Waits for a reply with a number.
    ///
    /// # Errors
    /// There is no such answer.
    pub(crate) fn hear_number(&mut self, code: u32) -> Result<u64> {
        let request = R(code);
        let received = self.receive().with_context(|| format!("{request:?}"))?;
        let received =
            received.with_context(|| format!("{request:?}: the connection was closed"))?;
        let reply = received.message(Layout::default())?;
        ensure!(reply.code == code, "{request:?} is answered with {:?}", R(reply.code));
        match reply.payload {
            Payload::U64(number) => Ok(number),
            // Nobody knows what the answer to such a request is like, but for a refusal.
            Payload::Unknown(&[a, b, c, d, e, f, g, h]) => {
                Ok(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
            }
            other => bail!("{request:?} is answered with {other:?}, and not with a number"),
        }
    }

    /// What `GET_FEATURES` answers.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn features(&mut self) -> Result<u64> {
        self.number(&Message::frontend(R::GET_FEATURES, Payload::None), &[])
    }

    /// # Errors
    /// The other end does not close the connection, or says something before it does.
    pub(crate) fn is_closed(&mut self) -> Result<()> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Ok(_) => bail!("the connection should be closed, and there is a reply"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("the connection should be closed, and is open: {error}")
            }
            Err(error) => bail!("the connection should be closed: {error}"),
        }
    }
}

/// The bytes of a message.
///
/// # Errors
/// It is longer than any message.
pub(crate) fn encode(message: &Message<'_>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).map_err(|error| anyhow!("{error}"))?;
    Ok(bytes)
}
