package chserver

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// writeConfig writes the server's two files into Dir and returns the main one.
func (o *Options) writeConfig(tcp, http int) (string, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return "", err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return "", err
	}
	o.Dir = dir // the child runs in it
	users := filepath.Join(dir, "users.xml")
	if err := os.WriteFile(users, []byte(o.usersXML()), 0o600); err != nil {
		return "", err
	}
	cfg := filepath.Join(dir, "config.xml")
	body := fmt.Sprintf(`<clickhouse>
<listen_host>127.0.0.1</listen_host><tcp_port>%d</tcp_port><http_port>%d</http_port>
<logger><level>warning</level><log>%s</log><errorlog>%s</errorlog></logger>
<user_directories><users_xml><path>%s</path></users_xml></user_directories>
<shutdown_wait_unfinished>0</shutdown_wait_unfinished>
<max_server_memory_usage>4000000000</max_server_memory_usage>
<query_log><database>system</database><table>query_log</table><flush_interval_milliseconds>500</flush_interval_milliseconds></query_log>
%s
</clickhouse>`, tcp, http, text(filepath.Join(dir, "server.log")), text(filepath.Join(dir, "server.err.log")), text(users), o.Config)
	return cfg, os.WriteFile(cfg, []byte(body), 0o600)
}

func (o *Options) usersXML() string {
	users := o.Users
	if !slices.ContainsFunc(users, func(u User) bool { return u.Name == "default" }) {
		users = append(slices.Clip(users), User{Name: "default"})
	}
	var b strings.Builder
	b.WriteString("<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>")
	for _, u := range users {
		fmt.Fprintf(&b, "<%s><password>%s</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>%s</%s>",
			u.Name, text(u.Password), u.rights(), u.Name)
	}
	b.WriteString("</users></clickhouse>")
	return b.String()
}

func (u User) rights() string {
	if len(u.Grants) == 0 {
		return "<access_management>1</access_management>" // the server refuses it beside grants
	}
	var b strings.Builder
	for _, g := range u.Grants {
		fmt.Fprintf(&b, "<query>%s</query>", text(g))
	}
	return "<grants>" + b.String() + "</grants>"
}

// text escapes s for XML.
func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
