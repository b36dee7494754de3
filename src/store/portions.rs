//! Work in portions: where the database refuses a portion, the bad items are found and isolated, and the others go on.

use super::StoreError;

/// What became of the items of [`in_portions`].
#[derive(Debug)]
pub struct PortionResults<'a, T, R> {
    /// The results of the portions that the database accepted.
    pub done: Vec<R>,
    /// The items that it refuses even alone, each with its answer.
    pub refused: Vec<(&'a T, String)>,
}

/// Does work in portions. A refused portion is halved until each refused item is alone. A portion may be done again
/// later, so that the work must be harmless when it is repeated.
///
/// # Errors
/// If the database is not available, or a conflict does not end: the rest is not done.
pub async fn in_portions<'a, T: 'a, R>(
    portions: impl IntoIterator<Item = &'a [T]>,
    mut work: impl AsyncFnMut(&'a [T]) -> Result<R, StoreError>,
) -> Result<PortionResults<'a, T, R>, StoreError> {
    let mut results = PortionResults { done: Vec::new(), refused: Vec::new() };
    let mut waiting: Vec<&'a [T]> = portions.into_iter().filter(|portion| !portion.is_empty()).collect();
    waiting.reverse();
    while let Some(portion) = waiting.pop() {
        match work(portion).await {
            Ok(result) => results.done.push(result),
            Err(StoreError::Refused(why)) => match portion {
                [alone] => results.refused.push((alone, why)),
                several => {
                    let (first, second) = several.split_at(several.len() / 2);
                    waiting.extend([second, first]);
                }
            },
            Err(error) => return Err(error),
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn work(items: &[u32], bad: &[u32]) -> (Vec<u32>, Vec<u32>, usize) {
        let mut calls = 0;
        let results = in_portions(items.chunks(100), async |portion: &[u32]| {
            calls += 1;
            match portion.iter().any(|item| bad.contains(item)) {
                true => Err(StoreError::Refused("it is bad".to_owned())),
                false => Ok(portion.to_vec()),
            }
        })
        .await
        .expect("no outage");
        (results.done.concat(), results.refused.into_iter().map(|(item, _)| *item).collect(), calls)
    }

    #[tokio::test]
    async fn only_what_is_bad_is_left_out_and_order_is_kept() {
        let items: Vec<u32> = (0..1_000).collect();
        let (done, refused, calls) = work(&items, &[0, 557, 999]).await;
        assert_eq!(refused, [0, 557, 999]);
        assert_eq!(done, (1..999).filter(|item| *item != 557).collect::<Vec<_>>());
        assert!(calls < 70, "{calls} calls");
        assert_eq!(work(&[], &[]).await.2, 0);
    }

    #[tokio::test]
    async fn an_outage_is_no_refusal() {
        let result = in_portions([&[1, 2][..]], async |_: &[i32]| {
            Err::<(), _>(StoreError::Unavailable("it is away".to_owned()))
        });
        assert!(result.await.is_err_and(|error| error.is_outage()));
    }
}
