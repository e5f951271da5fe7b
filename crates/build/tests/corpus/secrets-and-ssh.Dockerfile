FROM debian:bookworm-slim
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc,required=true cat /root/.npmrc > /dev/null
RUN --mount=type=secret,id=token,env=TOKEN test -n "$TOKEN"
RUN --mount=type=ssh,id=default ssh-add -l
