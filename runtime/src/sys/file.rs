//! Reading files whole, and writing them so that a half-written one never has the final name.

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{CStr, c_int};

use super::{last_error, memory};
use crate::error::Error;
use crate::text::text;

/// An open file descriptor, closed on drop.
#[derive(Debug)]
pub(super) struct Descriptor(c_int);

impl Descriptor {
    pub(super) fn open(path: &CStr, flags: c_int) -> Option<Descriptor> {
        let mode: libc::c_uint = 0o666;
        // SAFETY: the path ends with a zero; the mode matters only if the flags create the file.
        let descriptor = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) };
        // Lazily: a `Descriptor` of -1 would close -1 and thereby change the error number.
        (descriptor >= 0).then(|| Descriptor(descriptor))
    }

    pub(super) fn number(&self) -> c_int {
        self.0
    }

    /// The size of a regular file, 0 for anything else.
    pub(super) fn size(&self) -> Option<usize> {
        // SAFETY: all-zero bytes are a valid `stat`.
        let mut status: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: the descriptor is open and `status` is writable.
        if unsafe { libc::fstat(self.0, &raw mut status) } != 0 {
            return None;
        }
        if is_regular(&status) { usize::try_from(status.st_size).ok() } else { Some(0) }
    }

    /// Reads up to the length of `buffer`; 0 is the end of the file.
    fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            // SAFETY: the buffer is as long as stated.
            let count = unsafe { libc::read(self.0, buffer.as_mut_ptr().cast(), buffer.len()) };
            if count >= 0 {
                return usize::try_from(count).ok();
            }
            if super::errno() != libc::EINTR {
                return None;
            }
        }
    }

    fn write_all(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            // SAFETY: the bytes are as many as stated.
            let count = unsafe { libc::write(self.0, bytes.as_ptr().cast(), bytes.len()) };
            match usize::try_from(count) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
                Err(_) if super::errno() == libc::EINTR => {}
                Err(_) => return false,
            }
        }
        true
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open and nobody else closes it.
        unsafe { libc::close(self.0) };
    }
}

fn is_regular(status: &libc::stat) -> bool {
    status.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// A path in pieces, which have no zeros.
pub(crate) fn join(pieces: &[&[u8]]) -> CString {
    CString::new(pieces.concat()).unwrap_or_default()
}

/// A path for messages, in quotes.
pub(crate) fn quoted(path: &CStr) -> String {
    text!("'%'", path.to_str().unwrap_or("(not UTF-8)"))
}

/// The contents of a file.
///
/// # Errors
/// `Kind::System` if the file can't be opened or read, or memory doesn't suffice.
pub fn read(path: &CStr) -> Result<Vec<u8>, Error> {
    const STEP: usize = 64 << 10;
    let failed = || last_error(&text!("cannot read %", quoted(path)));
    let file = Descriptor::open(path, libc::O_RDONLY).ok_or_else(failed)?;
    let mut contents = Vec::new();
    // One byte more than the size, so that the read which meets the end needs no further room.
    let mut room = file.size().ok_or_else(failed)?.saturating_add(1).max(STEP);
    let mut filled = 0;
    loop {
        if filled == contents.len() {
            memory::try_grow(&mut contents, room)?;
            room = contents.len();
        }
        match file.read(&mut contents[filled..]).ok_or_else(failed)? {
            0 => break,
            count => filled += count,
        }
    }
    contents.truncate(filled);
    Ok(contents)
}

/// The contents of a small text file; `None` if it is missing, unreadable or longer than 16 KiB.
pub(super) fn read_small(path: &CStr) -> Option<Vec<u8>> {
    let file = Descriptor::open(path, libc::O_RDONLY)?;
    let mut contents = vec![0u8; 16 << 10];
    let mut filled = 0;
    while filled < contents.len() {
        match file.read(&mut contents[filled..])? {
            0 => {
                contents.truncate(filled);
                return Some(contents);
            }
            count => filled += count,
        }
    }
    None
}

/// Writes to standard output (1) or standard error (2); an error there has nowhere to go.
pub(crate) fn print(stream: c_int, message: &str) {
    // Never closed here: the stream isn't ours.
    let stream = core::mem::ManuallyDrop::new(Descriptor(stream));
    stream.write_all(message.as_bytes());
}

/// The path of the running executable with something after it, where the system tells it.
pub(crate) fn beside_executable(suffix: &str) -> Option<CString> {
    // Linux; other systems have no such link. The last byte stays 0.
    let mut path = [0u8; 4096];
    // SAFETY: the buffer is longer than stated.
    let length =
        unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), path.as_mut_ptr().cast(), path.len() - 1) };
    let path = CStr::from_bytes_until_nul(&path).ok().filter(|_| length > 0)?;
    Some(join(&[path.to_bytes(), suffix.as_bytes()]))
}

/// Something that bytes can be appended to.
pub trait Sink {
    /// Appends all bytes.
    ///
    /// # Errors
    /// `Kind::System` if there is no room.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

impl Sink for Vec<u8> {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.try_reserve(bytes.len()).map_err(|_| memory::exhausted(bytes.len()))?;
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A file that takes its name only when it is complete.
///
/// The bytes go to a new file in the same folder. [`OutputFile::commit`] brings them to disk and renames that
/// file; a drop without it deletes it and leaves whatever had the name before. A symbolic link is followed.
/// A path to something other than a regular file (`/dev/stdout`, a pipe) is written directly.
#[derive(Debug)]
pub struct OutputFile {
    file: Descriptor,
    /// The final name, and the temporary one unless the file is written directly.
    path: CString,
    temporary: Option<CString>,
}

impl OutputFile {
    /// Starts a file that shall be called `path`.
    ///
    /// # Errors
    /// `Kind::System` if the folder is missing or not writable, or `path` is a folder.
    pub fn create(path: &CStr) -> Result<OutputFile, Error> {
        let failed = || last_error(&text!("cannot write %", quoted(path)));
        // SAFETY: all-zero bytes are a valid `stat`.
        let mut status: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: the path ends with a zero and `status` is writable.
        let exists = unsafe { libc::stat(path.as_ptr(), &raw mut status) } == 0;
        if exists && !is_regular(&status) {
            let file = Descriptor::open(path, libc::O_WRONLY).ok_or_else(failed)?;
            return Ok(OutputFile { file, path: path.into(), temporary: None });
        }
        let path = if exists { resolve(path).ok_or_else(failed)? } else { path.into() };
        // SAFETY: the call has no preconditions.
        let process = u64::from(unsafe { libc::getpid() }.unsigned_abs());
        let temporary = join(&[path.to_bytes(), text!(".%.tmp", process).as_bytes()]);
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        let file = Descriptor::open(&temporary, flags).ok_or_else(failed)?;
        Ok(OutputFile { file, path, temporary: Some(temporary) })
    }

    /// The name that the file has until it is complete; none if it is written directly.
    pub fn temporary(&self) -> Option<&CStr> {
        self.temporary.as_deref()
    }

    /// Brings the contents to disk and gives the file its name.
    ///
    /// # Errors
    /// `Kind::System` if the disk is full or the name can't be taken; the temporary file is deleted then.
    pub fn commit(mut self) -> Result<(), Error> {
        let Some(temporary) = &self.temporary else { return Ok(()) };
        // SAFETY: the descriptor is open, and both paths end with a zero.
        let done = unsafe {
            libc::fsync(self.file.number()) == 0 && libc::rename(temporary.as_ptr(), self.path.as_ptr()) == 0
        };
        if !done {
            return Err(last_error(&text!("cannot write %", quoted(&self.path))));
        }
        self.temporary = None;
        Ok(())
    }
}

impl Sink for OutputFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.file.write_all(bytes) {
            return Ok(());
        }
        Err(last_error(&text!("cannot write %", quoted(&self.path))))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // SAFETY: the path ends with a zero.
            unsafe { libc::unlink(temporary.as_ptr()) };
        }
    }
}

/// The path without symbolic links.
fn resolve(path: &CStr) -> Option<CString> {
    // SAFETY: with a null buffer the call allocates the result, which is freed below.
    let resolved = unsafe { libc::realpath(path.as_ptr(), core::ptr::null_mut()) };
    if resolved.is_null() {
        return None;
    }
    // SAFETY: on success the result ends with a zero.
    let copy = CString::from(unsafe { CStr::from_ptr(resolved) });
    // SAFETY: the call above allocated it, and it isn't used any more.
    unsafe { libc::free(resolved.cast()) };
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::{format, fs};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("graven-file-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn c(path: &Path) -> CString {
        CString::new(path.to_str().expect("a UTF-8 path")).expect("no zero")
    }

    #[test]
    fn reads_what_was_written() {
        let folder = folder("read");
        let path = folder.join("file");
        for length in [0, 1, 65535, 65536, 65537, 300_000] {
            let contents: Vec<u8> = (0..length).map(|index| (index * 7 % 251) as u8).collect();
            fs::write(&path, &contents).expect("a file");
            assert_eq!(read(&c(&path)).expect("the file"), contents);
        }
        assert!(read(&c(&folder)).unwrap_err().message().ends_with("Is a directory"));
        fs::remove_dir_all(folder).expect("the folder");
    }

    #[test]
    fn an_output_replaces_only_when_complete() {
        let folder = folder("write");
        let path = folder.join("file");
        fs::write(&path, "old").expect("a file");
        let mut output = OutputFile::create(&c(&path)).expect("an output");
        output.write_all(b"new").expect("room");
        assert_eq!(fs::read(&path).expect("the file"), b"old");
        output.commit().expect("a disk");
        assert_eq!(fs::read(&path).expect("the file"), b"new");

        let mut output = OutputFile::create(&c(&path)).expect("an output");
        output.write_all(b"lost").expect("room");
        drop(output);
        assert_eq!(fs::read(&path).expect("the file"), b"new");
        assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 1, "no temporary file is left");
        fs::remove_dir_all(folder).expect("the folder");
    }

    #[test]
    fn links_are_followed_and_devices_kept() {
        let folder = folder("link");
        let (target, link) = (folder.join("target"), folder.join("link"));
        fs::write(&target, "old").expect("a file");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        let mut output = OutputFile::create(&c(&link)).expect("an output");
        output.write_all(b"new").expect("room");
        output.commit().expect("a disk");
        assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
        assert_eq!(fs::read(&target).expect("the file"), b"new");

        let mut output = OutputFile::create(c"/dev/null").expect("an output");
        output.write_all(b"gone").expect("room");
        output.commit().expect("a device");
        assert!(!fs::metadata("/dev/null").expect("the device").is_file());

        assert!(OutputFile::create(&c(&folder)).is_err(), "a folder");
        assert!(OutputFile::create(&c(&folder.join("no/such"))).is_err());
        fs::remove_dir_all(folder).expect("the folder");
    }
}
