//! Deployments of configuration: what a signed version is, and who may sign one. A node takes nothing from the database but
//! a text that a key of its local file has signed.

mod manifest;
mod signing;

pub use self::{
    manifest::{DeployedFile, MAX_BYTES, Manifest, check_files, is_cluster_name},
    signing::{NAMESPACE, SignedVersion, TrustedKeys, check_public_key, sign},
};
