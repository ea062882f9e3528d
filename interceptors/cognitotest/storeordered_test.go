// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"strconv"
	"testing"
)

func TestOrderedPages(t *testing.T) {
	t.Parallel()
	var o ordered[int]
	for i := range 10 {
		o.put(strconv.Itoa(i), i)
	}
	o.put("3", 33)
	o.remove("5")
	o.remove("5")
	first, next := o.page(0, 4, nil)
	o.remove("3") // where the walk stands
	o.put("10", 10)
	second, last := o.page(next, 4, nil)
	third, end := o.page(last, 4, nil)
	if fmt.Sprint(first, second, third, end) != "[0 1 2 33] [4 6 7 8] [9 10] 0" {
		t.Errorf("got %v %v %v %d", first, second, third, end)
	}
	if exact, next := o.page(last, 2, nil); len(exact) != 2 || next != 0 {
		t.Errorf("a last page that is full: got %v and %d, want no next page", exact, next)
	}
	if values, next := o.page(^uint64(0), 4, nil); len(values) != 0 || next != 0 {
		t.Errorf("beyond the end: got %v %d", values, next)
	}
}
