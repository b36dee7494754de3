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

    /// Whether it has no key.
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
        let read = read.map_err(|_| "its signature is not one that `ssh-keygen -Y sign` makes".to_owned())?;
        if read.namespace() != NAMESPACE {
            let made_for = read.namespace().escape_debug();
            return Err(format!("its signature was made for the purpose `{made_for}`, and not for `{NAMESPACE}`"));
        }
        let signer = self.0.iter().find(|key| key.key_data() == read.public_key()).ok_or_else(|| {
            let fingerprint = read.public_key().fingerprint(HashAlg::Sha256);
            format!("its signature is of the key {fingerprint}, which [deploy] does not have")
        })?;
        signer.verify(NAMESPACE, text.as_bytes(), &read).map_err(
            |_| "its signature is not of this text: the text was changed, or the signature is of another one",
        )?;
        let manifest = Manifest::of_text(text)?;
        if manifest.cluster != cluster {
            return Err(format!("it was signed for the cluster `{}`, and this one is `{cluster}`", manifest.cluster));
        }
        Ok(SignedVersion { manifest, text: text.to_owned(), signature: signature.to_owned(), signer: name(signer) })
    }
}

/// Signs a text with a private key of OpenSSH.
///
/// # Errors
/// If it is no such key, or it has a passphrase, in words.
pub fn sign(private_key: &str, text: &str) -> Result<String, String> {
    let key = PrivateKey::from_openssh(private_key).map_err(|error| {
        format!("this is not a private key of OpenSSH (`-----BEGIN OPENSSH PRIVATE KEY-----`): {error}")
    })?;
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

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use ssh_key::private::Ed25519Keypair;

    use super::*;
    use crate::domain::deploy::DeployedFile;

    fn key(seed: u8) -> PrivateKey {
        Ed25519Keypair::from_seed(&[seed; 32]).into()
    }

    fn trusted(seed: u8) -> TrustedKeys {
        let mut keys = TrustedKeys::default();
        let line = key(seed).public_key().to_openssh().unwrap();
        keys.add(check_public_key(&format!("{line} alice@ops")).unwrap());
        keys
    }

    fn text() -> String {
        let file = DeployedFile { name: "a.toml".to_owned(), text: "[task.a]\nkind = \"noop\"\n".to_owned() };
        Manifest::new("shop", 3, DateTime::UNIX_EPOCH, None, vec![file]).to_text().unwrap()
    }

    fn signed(seed: u8, namespace: &str, text: &str) -> String {
        let signature = key(seed).sign(namespace, HashAlg::Sha512, text.as_bytes()).unwrap();
        signature.to_pem(LineEnding::LF).unwrap()
    }

    #[test]
    fn only_a_trusted_key_signs_for_this_purpose_and_this_cluster() {
        let (text, keys) = (text(), trusted(1));
        let sound = sign(&key(1).to_openssh(LineEnding::LF).unwrap(), &text).unwrap();
        let version = keys.verify("shop", &text, &sound).unwrap();
        assert_eq!((version.manifest.number, version.signer.split(' ').next()), (3, Some("alice@ops")));
        let why = |cluster: &str, text: &str, signature: &str| keys.verify(cluster, text, signature).unwrap_err();
        assert!(why("shop", &text, &signed(2, NAMESPACE, &text)).contains("which [deploy] does not have"));
        assert!(why("shop", &text, &signed(1, "file", &text)).contains("the purpose `file`"));
        assert!(why("other", &text, &sound).contains("signed for the cluster `shop`"));
        assert!(why("shop", &text.replace('3', "4"), &sound).contains("is not of this text"));
        assert!(why("shop", "", &sound).contains("is not of this text"));
        assert!(TrustedKeys::default().verify("shop", &text, &sound).is_err());
    }

    #[test]
    fn no_changed_signature_fits_another_text() {
        let (text, keys) = (text(), trusted(1));
        let (sound, other) = (signed(1, NAMESPACE, &text), text.replace("noop", "sql"));
        for at in 0..sound.len() {
            for letter in ["A", "b", "/", "\n", "-", ""] {
                let mut changed = sound.clone();
                changed.replace_range(at..=at, letter);
                assert!(keys.verify("shop", &other, &changed).is_err(), "{changed}");
            }
        }
        for garbage in [
            "",
            "-----BEGIN SSH SIGNATURE-----",
            "\0",
            "-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n",
        ] {
            assert!(keys.verify("shop", &text, garbage).is_err());
        }
    }

    #[test]
    fn other_kinds_of_keys_are_refused() {
        assert!(check_public_key("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQM=").is_err());
        assert!(check_public_key("nonsense").is_err() && check_public_key("").is_err());
        assert!(sign("nonsense", "text").is_err());
    }
}
