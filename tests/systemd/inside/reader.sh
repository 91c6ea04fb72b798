# What a reader of docs/get-started.md types, as root and then as another user. test_commands.py puts the page's
# blocks in the place of the capital names; each command has to succeed.
exec >/opt/results/said 2>&1
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/reader PIP_ROOT_USER_ACTION=ignore
ip link set lo up
trap 'systemctl poweroff' EXIT

as_root() {
    set -ex
    cd /root/zeroscale
    SIX_COMMANDS
    zeroscalectl ping localhost | grep Asleep
    zeroscalectl join localhost
    EVERY_DAY
    REMOVE
    test ! -e /etc/systemd/system/zeroscale.service
    test ! -e /usr/local/bin/zeroscale
}

as_user() {
    set -ex
    cd ~/zeroscale
    ENVIRONMENT
    cd ~/minecraft
    ~/zeroscale-env/bin/zeroscalectl init
    TMUX_SESSION
    sleep 3
    ~/zeroscale-env/bin/zeroscalectl join localhost
    tmux send-keys -t zeroscale stop Enter
}

export -f as_user
as_root
runuser -u max -- env HOME=/home/max bash -c as_user
echo done
