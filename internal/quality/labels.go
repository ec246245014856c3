package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault is one entry of a fault list.
type fault struct {
	At      time.Time // as labelled
	Onset   time.Time // as derived from the logs, else At
	Service string
	Kind    string
}

var (
	faultList  = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}\.json$`)
	podSuffix  = regexp.MustCompile(`-[0-9a-f]{8,10}-[a-z0-9]{5}$`)
	onsetsLine = regexp.MustCompile(`^(\d\d:\d\d:\d\d) (\S+) .*?(?:first violation|last B) ([+-]\d+)s`)
)

// findLists are the fault lists below a directory: files named by their day.
func findLists(dir string) ([]string, error) {
	var lists []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && faultList.MatchString(d.Name()) {
			lists = append(lists, path)
		}
		return err
	})
	return lists, err
}

// readFaults reads a fault list as Nezha has it: entries by hour, times in UTC.
// Its `inject_timestamp` is wrong in places and not read.
func readFaults(path string) ([]fault, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var hours map[string][]struct {
		Time string `json:"inject_time"`
		Pod  string `json:"inject_pod"`
		Type string `json:"inject_type"`
	}
	if err := json.Unmarshal(data, &hours); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var faults []fault
	for _, list := range hours {
		for _, x := range list {
			at, err := time.Parse(time.DateTime, x.Time)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			faults = append(faults, fault{At: at, Onset: at, Service: podSuffix.ReplaceAllString(x.Pod, ""), Kind: x.Type})
		}
	}
	slices.SortFunc(faults, func(a, b fault) int { return a.At.Compare(b.At) })
	day := strings.TrimSuffix(filepath.Base(path), ".json")
	return faults, readOnsets(filepath.Join(filepath.Dir(path), "onset-derived-"+day+".txt"), faults)
}

// readOnsets takes over when faults really begin, from a file that need not be
// there: lines of the labelled time, the service, and `first violation -57s`.
func readOnsets(path string, faults []fault) error {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := onsetsLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		after, err := strconv.Atoi(m[3])
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for i := range faults {
			if x := &faults[i]; x.At.Format(time.TimeOnly) == m[1] && x.Service == m[2] {
				x.Onset = x.At.Add(time.Duration(after) * time.Second)
			}
		}
	}
	return lines.Err()
}
