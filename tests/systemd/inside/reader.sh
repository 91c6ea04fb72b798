# What a reader of the pages types, as root and then as another user. test_commands.py puts the pages' blocks in the
# place of the capital names; each command has to succeed.
exec >/opt/results/said 2>&1
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/reader PIP_ROOT_USER_ACTION=ignore
ip link set lo up
trap 'systemctl poweroff' EXIT

nano() {
    sed -i 's/idle_shutdown = "15m"/idle_shutdown = "20m"/' "$1"
}

git() {
    test "$*" = pull
}

# is STATUS: waits until survival has this status
is() {
    for _ in $(seq 100); do
        zeroscalectl status survival | head -1 | grep -q ": $1" && return
        sleep 0.1
    done
    return 1
}

# logged TEXT: waits until the log has this text
logged() {
    for _ in $(seq 100); do
        journalctl --unit zeroscale | grep -F "$1" && return
        sleep 0.1
    done
    return 1
}

begin() {
    cd /root/zeroscale
    SIX_COMMANDS
    zeroscalectl ping localhost | grep Asleep
    zeroscalectl join localhost
    CHANGE
    logged 'survival: changed: idle_shutdown'
    EVERY_DAY
    LOOK
    SERVICE
    INSTALL
}

operate() {
    zeroscalectl init /srv/creative --output - | sed -n '/^\[servers/,$ { s/25565/25566/; s/25575/25576/; p }' >>/etc/zeroscale.toml
    SECOND_SERVER
    zeroscalectl join localhost:25566
    STOP_IT
    is stopped
    zeroscalectl wake survival --wait
    LOCK
    zeroscalectl status survival | grep 'Something is broken'
    zeroscalectl release survival
    BEFORE_WORK
    zeroscalectl sleep survival --now
    AFTER_WORK
    cat >/usr/local/bin/backup-survival <<'SCRIPT'
    BACKUP
SCRIPT
    mkdir -p /etc/cron.d
    NIGHTLY
    install -d -o 4321 /srv/survival/world
    backup-survival
    tar -tzf /var/backups/survival.tar.gz | grep server.jar
    test ! -e /var/backups/survival.tar.gz.new
    is stopped
    RESTORE
    cd /root
    test "$(stat -c %u /srv/survival/world)" = 4321
    rm -r /srv/survival/world*
    test ! -e /srv/survival/zeroscale.keep-asleep
    KEEP_AWAKE
}

end() {
    zeroscalectl wake survival --wait
    sed -i '/^working_directory = "\/srv\/survival"/ a on_exit = "leave"' /etc/zeroscale.toml
    systemctl reload zeroscale
    LEAVE
    cd /root
    UPGRADE
    is running
    logged 'left running, for the next zeroscale to take over'
    logged 'ready: it ran already'
    UNINSTALL
    /opt/zeroscale/bin/zeroscalectl systemd install --server /srv/survival
    REMOVE
    test ! -e /etc/systemd/system/zeroscale.service
    test ! -e /usr/local/bin/zeroscale
}

containers() {
    cd /root/zeroscale
    getent group docker || groupadd docker
    printf '[servers.box]\nplugin = "docker"\nlisten = 25567\nserver = 25577\nplugin_arguments.container = "box"\n' >/etc/zeroscale.toml
    CONTAINERS
    zeroscalectl status
}

as_user() {
    set -ex
    cd ~/zeroscale
    ENVIRONMENT
    INIT
    TMUX_SESSION
    sleep 3
    ~/zeroscale-env/bin/zeroscalectl join localhost
    tmux send-keys -t zeroscale stop Enter
}

# Stops zeroscale as Ctrl-C does once a player got in.
stop_soon() {
    until ~/zeroscale-env/bin/zeroscalectl ping localhost; do sleep 0.1; done
    kill -INT $!
    wait $!
}

set -ex
begin
operate
end
containers
export -f as_user stop_soon
runuser -u max -- env HOME=/home/max bash -c as_user
echo done
