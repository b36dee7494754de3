//! Signatures of versions, in the format of OpenSSH (`ssh-keygen -Y sign`).

use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::{Manifest, manifest::MAX_BYTES};

/// What signatures are for. One that was made for another purpose, such as a commit or a login, is not taken.
pub const NAMESPACE: &str = "sexton-config";
/// Maximum number of bytes of a signature.
const MAX_SIGNATURE: usize = 16 * 1_024;

/// The keys that may sign versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys(Vec<PublicKey>);

/// A version whose signature was checked, with the text and the signature, so that they can be checked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVersion {
    /// What it is.
    pub manifest: Manifest,
    /// The text that was signed.
    pub text: String,
    /// Its signature.
    pub signature: String,
    /// The key that has signed it: its fingerprint, and the comment that the local file gives it.
    pub signer: String,
}

/// Reads a public key as a file `.pub` has it.
///
/// # Errors
/// If it is no key, or of a kind that is not taken, in words.
pub fn check_public_key(line: &str) -> Result<PublicKey, String> {
    let key = PublicKey::from_openssh(line.trim()).map_err(|error| {
        format!("this is not a public key such as `ssh-ed25519 AAAA… alice@ops`, the one line of a file .pub: {error}")
    })?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => Ok(key),
        other => Err(format!(
            "a key of type {other} is not taken: use ssh-ed25519, sk-ssh-ed25519@openssh.com or ecdsa-sha2-nistp256"
        )),
    }
}

/// The text in the log and in tables for a key.
fn name(key: &PublicKey) -> String {
    let comment: String = key.comment().chars().filter(|letter| !letter.is_control()).collect();
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    if comment.is_empty() { fingerprint.to_string() } else { format!("{comment} ({fingerprint})") }
}

impl TrustedKeys {
    /// Adds a key. Returns false if it is there already.
    pub fn add(&mut self, key: PublicKey) -> bool {
        let is_new = self.0.iter().all(|known| known.key_data() != key.key_data());
        if is_new {
            self.0.push(key);
        }
        is_new
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys as files `.pub` have them.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().filter_map(|key| key.to_openssh().ok()).collect()
    }

    /// Checks that one of the keys has signed this text as a version for this cluster, and reads it.
    ///
    /// # Errors
    /// The reason why it must not be used, in words. Nothing of an unsigned text is read.
    pub fn verify(&self, cluster: &str, text: &str, signature: &str) -> Result<SignedVersion, String> {
        if text.len() > MAX_BYTES || signature.len() > MAX_SIGNATURE {
            return Err(format!("it is larger than {MAX_BYTES} bytes, or its signature than {MAX_SIGNATURE}"));
        }
        let read = SshSig::from_pem(signature.trim_end().as_bytes());
        let read = read.map_err(|_| "its signature is none that `ssh-keygen -Y sign` makes".to_owned())?;
        if read.namespace() != NAMESPACE {
            let made_for = read.namespace().escape_debug();
            return Err(format!("its signature was made for the purpose `{made_for}`, and not for `{NAMESPACE}`"));
        }
        let signer = self.0.iter().find(|key| key.key_data() == read.public_key()).ok_or_else(|| {
            let fingerprint = read.public_key().fingerprint(HashAlg::Sha256);
            format!("its signature is of the key {fingerprint}, which [deploy] does not have")
        })?;
        signer
            .verify(NAMESPACE, text.as_bytes(), &read)
            .map_err(|_| "its signature is not of this text: the text was changed, or the signature is of another one")?;
        let manifest = Manifest::of_text(text)?;
        if manifest.cluster != cluster {
            return Err(format!("it was signed for the cluster `{}`, and this one is `{cluster}`", manifest.cluster));
        }
        Ok(SignedVersion {
            manifest,
            text: text.to_owned(),
            signature: signature.to_owned(),
            signer: name(signer),
        })
    }
}

/// Signs a text with a private key of OpenSSH.
///
/// # Errors
/// If it is no such key, or it has a passphrase, in words.
pub fn sign(private_key: &str, text: &str) -> Result<String, String> {
    let key = PrivateKey::from_openssh(private_key)
        .map_err(|error| format!("this is not a private key of OpenSSH (`-----BEGIN OPENSSH PRIVATE KEY-----`): {error}"))?;
    if key.is_encrypted() {
        return Err("the key has a passphrase".to_owned());
    }
    check_public_key(&key.public_key().to_openssh().map_err(|error| error.to_string())?)?;
    if matches!(key.algorithm(), Algorithm::SkEd25519) {
        return Err("the key is in a hardware token".to_owned());
    }
    let signature = key.sign(NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(|error| error.to_string())?;
    signature.to_pem(LineEnding::LF).map_err(|error| error.to_string())
}
