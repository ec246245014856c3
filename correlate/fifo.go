package correlate

// fifo is a queue in a ring that grows. The zero fifo is empty.
type fifo[T any] struct {
	buf  []T // length is a power of two
	head int
	n    int
}

func (q *fifo[T]) at(i int) *T { return &q.buf[(q.head+i)&(len(q.buf)-1)] }
func (q *fifo[T]) front() *T   { return q.at(0) }
func (q *fifo[T]) back() *T    { return q.at(q.n - 1) }

func (q *fifo[T]) push(v T) {
	if q.n == len(q.buf) {
		q.resize(max(2, 2*q.n))
	}
	q.n++
	*q.back() = v
}

func (q *fifo[T]) resize(size int) {
	buf := make([]T, size)
	for i := range q.n {
		buf[i] = *q.at(i)
	}
	q.buf, q.head = buf, 0
}

// pop removes the oldest.
func (q *fifo[T]) pop() T {
	v := *q.front()
	var zero T
	*q.front() = zero
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
	if q.n == 0 && len(q.buf) > 64 {
		*q = fifo[T]{}
	}
	return v
}

// unpush removes the newest.
func (q *fifo[T]) unpush() {
	var zero T
	*q.back() = zero
	q.n--
}

func (q *fifo[T]) clear() { *q = fifo[T]{} }
