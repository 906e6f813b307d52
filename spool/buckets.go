package spool

// One type for each bucket, with what can be done to its rows in a transaction.
type (
	metaBucket    struct{ *table }
	runBucket     struct{ *table }
	taskBucket    struct{ *table }
	recordBucket  struct{ *table }
	keptBucket    struct{ *table }
	waitingBucket struct{ *table }
	heldBucket    struct{ *table }
	bundleBucket  struct{ *table }
	deadBucket    struct{ *table }
	itemBucket    struct{ *table }
	idBucket      struct{ t *txn }
)

func (t *txn) meta() metaBucket       { return metaBucket{t.tab(bktMeta)} }
func (t *txn) runs() runBucket        { return runBucket{t.tab(bktRuns)} }
func (t *txn) tasks() taskBucket      { return taskBucket{t.tab(bktTasks)} }
func (t *txn) records() recordBucket  { return recordBucket{t.tab(bktRecords)} }
func (t *txn) kept() keptBucket       { return keptBucket{t.tab(bktKept)} }
func (t *txn) waiting() waitingBucket { return waitingBucket{t.tab(bktWaiting)} }
func (t *txn) held() heldBucket       { return heldBucket{t.tab(bktHeld)} }
func (t *txn) bundles() bundleBucket  { return bundleBucket{t.tab(bktBundles)} }
func (t *txn) dead() deadBucket       { return deadBucket{t.tab(bktDead)} }
func (t *txn) items() itemBucket      { return itemBucket{t.tab(bktItems)} }
func (t *txn) ids() idBucket          { return idBucket{t} }

func (tb idBucket) entries() *table { return tb.t.sub(subEntries) }
func (tb idBucket) log() *table     { return tb.t.sub(subLog) }
func (tb idBucket) marks() *table   { return tb.t.sub(subForgotten) }
