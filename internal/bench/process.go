package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// process is a role as seen from outside.
type process struct {
	addrs []string

	name    string
	cmd     *exec.Cmd
	stdin   io.Closer
	ask     *json.Encoder
	answers *json.Decoder
}

// start runs this program once more, as a role, whose complaints go where this
// process's go. It has to be stopped.
func start(ctx context.Context, name string, s setup) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, roleFlag, name)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, stdin: stdin, ask: json.NewEncoder(stdin), answers: json.NewDecoder(stdout)}
	err = p.ask.Encode(s)
	if err == nil {
		err = p.answers.Decode(&p.addrs)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), p.stop())
	}
	return p, nil
}

// cpuTime returns what the process has used so far.
func (p *process) cpuTime() (t time.Duration, err error) {
	err = p.ask.Encode(true)
	if err == nil {
		err = p.answers.Decode(&t)
	}
	if err != nil {
		return 0, fmt.Errorf("ask %s for its CPU time: %w", p.name, err)
	}
	return t, nil
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}
